import { bytesToHex } from '@noble/hashes/utils.js';
import type { AppraisalContext } from '../appraisal/context.ts';
import type { Certificate } from '../x509/certificate.ts';
import { findIssuer, nameOf } from '../x509/path.ts';
import { sameKey } from '../x509/public-key.ts';
import { isoTime } from '../x509/time.ts';
import type { AttestationKey } from './public-area.ts';

/** Certificates of attestation keys, up to a root that the policy names. */

const MAX_DEPTH = 5;

/**
 * Why the certificates do not endorse a key; null if they do: one of them contains the key, and each is valid and signed
 * by the next, up to a trusted root.
 *
 * @param ders DER, in any order.
 * @throws CocosError EVIDENCE_INVALID when a certificate is malformed.
 */
export function endorsementProblem(
  key: AttestationKey,
  ders: readonly Uint8Array[],
  context: AppraisalContext,
): string | null {
  const { crypto, at, policy, cache } = context;
  const all = ders.map((der) => cache.certificate(der));
  const isTrusted = (certificate: Certificate): boolean =>
    policy.vtpm.trustedRoots.includes(`sha256:${bytesToHex(crypto.sha256(certificate.der))}`);
  let current = all.find((certificate) => sameKey(certificate.key, key.key));
  if (current === undefined) return 'no certificate contains this key';
  if (current.isCa) return 'the certificate of the key is a CA certificate';
  for (let depth = 0; depth < MAX_DEPTH; depth += 1) {
    if (at < current.notBefore || at > current.notAfter)
      return `${nameOf(current)} is not valid at ${isoTime(at)}`;
    if (isTrusted(current)) return null;
    const found = findIssuer(current, all, context);
    if (found === null || !found.signed) return `no certificate endorses ${nameOf(current)}`;
    const { issuer } = found;
    if (!issuer.isCa || issuer.maySignCertificates === false) return `${nameOf(issuer)} is not a CA`;
    if (issuer === current) return `the root ${nameOf(issuer)} is not trusted`;
    current = issuer;
  }
  return 'the certificate chain is too long';
}
