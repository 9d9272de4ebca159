import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { NO_COLLATERAL } from '../../../src/attestation/collateral/collateral.ts';
import { parsePolicy } from '../../../src/attestation/policy/policy.ts';
import { endorsementProblem } from '../../../src/attestation/tpm/ak-certificate.ts';
import { CertificateCache } from '../../../src/attestation/x509/certificate-cache.ts';
import { parsePublicKey } from '../../../src/attestation/x509/public-key.ts';
import { attestationCrypto as crypto } from '../../../src/crypto/attestation-crypto.ts';
import {
  AT,
  attestationKeyChain,
  type CertificateFields,
  type Chain,
  emptyList,
  type ListFields,
  usage,
  writeCertificate,
  writeList,
} from '../../fakes/chains/chain.ts';
import { edit } from '../../fakes/chains/change.ts';
import { otherKey, SCHEMES, spkiOf, USUAL } from '../../fakes/chains/keys.ts';
import { Seeded } from '../../seeded.ts';

/** Revocation of the certificates of an attestation key, by lists that are at hand. */

function at(chain: Chain, index: number): CertificateFields {
  const found = chain.certificates.at(index);
  if (found === undefined) throw new Error('the chain is shorter');
  return found;
}

/** A list of an authority, signed as that authority signs. */
function listOf(authority: CertificateFields, revoked: readonly CertificateFields[]): ListFields {
  const kind = authority.key.asymmetricKeyType;
  const scheme = kind === 'rsa' ? 'rsa-sha256' : kind === 'ed25519' ? 'ed25519' : USUAL.p256[0];
  return {
    ...emptyList(authority),
    entries: revoked.map(({ serial }) => ({ serial, extensions: [] })),
    signer: { key: authority.key, scheme: SCHEMES[scheme ?? 'ecdsa-sha256'] },
  };
}

function problemOf(chain: Chain, lists: readonly ListFields[]): string | null {
  const ders = chain.certificates.map(writeCertificate);
  const root = createHash('sha256')
    .update(ders.at(-1) ?? '')
    .digest('hex');
  const key = parsePublicKey(spkiOf(at(chain, 0).key));
  if (key === null) throw new Error('no key');
  const policy = parsePolicy({
    version: 1,
    platforms: ['snp'],
    vtpm: { trustedRoots: [`sha256:${root}`] },
  });
  const collateral = { ...NO_COLLATERAL, revocationLists: lists.map(writeList) };
  const context = { policy, collateral, at: AT, crypto, cache: new CertificateCache() };
  return endorsementProblem({ key, declared: null, problems: null }, ders, context);
}

describe('the certificate of an attestation key', () => {
  it.each([1, 2, 3, 4, 5, 6])('is refused when its authority has revoked it, chain %i', (seed) => {
    const chain = attestationKeyChain(new Seeded(seed));
    const [leaf, issuer] = [at(chain, 0), at(chain, 1)];
    expect(problemOf(chain, [listOf(issuer, [])])).toBeNull();
    expect(problemOf(chain, [listOf(issuer, [leaf])])).toContain('is revoked');
  });

  it('is refused when an authority above it is revoked', () => {
    const chain = attestationKeyChain(new Seeded(1));
    const [below, root] = [at(chain, -2), at(chain, -1)];
    expect(problemOf(chain, [listOf(root, [below])])).toContain('is revoked');
  });

  it('is not refused for a list that its authority did not sign, or may not sign', () => {
    const chain = attestationKeyChain(new Seeded(1));
    const [leaf, issuer] = [at(chain, 0), at(chain, 1)];
    const list = listOf(issuer, [leaf]);
    const forged = { ...list, signer: { key: otherKey('p256'), scheme: SCHEMES['ecdsa-sha256'] } };
    expect(problemOf(chain, [forged])).toBeNull();
    edit(issuer, '2.5.29.15', { value: usage(5) });
    expect(problemOf(chain, [list])).toBeNull();
  });
});
