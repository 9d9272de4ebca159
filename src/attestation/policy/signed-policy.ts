import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js';
import { z } from 'zod';
import type { AttestationCrypto } from '../../crypto/crypto-port.ts';
import { CocosError } from '../../errors.ts';
import { schemaProblems } from '../../schema-problems.ts';
import { base64UrlText } from '../encoding/base64url.ts';
import { InstantText } from '../encoding/byte-schemas.ts';
import { base64UrlBytes } from '../x509/pem.ts';
import { instantMs } from '../x509/time.ts';
import { MAX_POLICY_BYTES } from './policy.ts';

/**
 * A policy with a signature. The envelope contains the bytes of the policy, so that nothing is re-encoded before the
 * verification. Its version and its expiry are signed too: whoever hands out policies cannot hand out an old one for ever.
 */

const DOMAIN = utf8ToBytes('cocosai policy v2\0');
/** That the clocks of two parties may differ by. */
export const CLOCK_SKEW_MS = 300_000;
const Base64Url = z.string().regex(/^[A-Za-z0-9_-]*$/);

const Terms = z.strictObject({
  /** Which of the signer's policies this is; versions of one name are counted together. */
  name: z.string().regex(/^[!-~](?:[ -~]{0,98}[!-~])?$/, 'must be 1 to 100 printable ASCII characters'),
  /** Grows with each policy that the signer issues under this name. */
  policyVersion: z.int().min(1).max(Number.MAX_SAFE_INTEGER),
  issuedAt: InstantText,
  /** From then on the policy is not accepted. */
  expires: InstantText,
});
export type PolicyTerms = z.infer<typeof Terms>;

const Envelope = z.strictObject({
  /** The policy's JSON text, base64url. */
  signedPolicy: Base64Url.max(Math.ceil((MAX_POLICY_BYTES * 4) / 3)),
  ...Terms.shape,
  /** `ed25519:` and the base64url of the key. */
  key: z.string().regex(/^ed25519:[A-Za-z0-9_-]{43}$/),
  signature: Base64Url.length(86),
});
export type PolicyEnvelope = z.infer<typeof Envelope>;

const invalid = (sentence: string, cause?: unknown): CocosError =>
  new CocosError('POLICY_INVALID', sentence, { cause });

/** JSON contains no NUL, so that the terms end where the policy begins. */
function message({ name, policyVersion, issuedAt, expires }: PolicyTerms, policy: Uint8Array): Uint8Array {
  const terms = JSON.stringify([name, policyVersion, issuedAt, expires]);
  return concatBytes(DOMAIN, utf8ToBytes(`${terms}\0`), policy);
}

/** Whether parsed JSON is an envelope rather than a plain policy. */
export function isPolicyEnvelope(json: unknown): boolean {
  return typeof json === 'object' && json !== null && 'signedPolicy' in json;
}

/**
 * Signs the bytes of a policy file.
 *
 * @param key `ed25519:…` text of the signer's public key.
 * @param signer signs bytes with Ed25519 and returns 64 bytes.
 * @throws CocosError POLICY_INVALID for invalid terms
 */
export function signPolicy(
  policy: Uint8Array,
  terms: PolicyTerms,
  key: string,
  signer: (message: Uint8Array) => Uint8Array,
): PolicyEnvelope {
  const checked = Terms.safeParse(terms);
  if (!checked.success)
    throw invalid(
      `the terms of the signature are invalid at ${schemaProblems(checked.error, terms).join('; ')}`,
    );
  if (instantMs(terms.expires) <= instantMs(terms.issuedAt))
    throw invalid(`the policy would expire at ${terms.expires}, not after it is issued at ${terms.issuedAt}`);
  const signature = base64UrlText(signer(message(checked.data, policy)));
  return { signedPolicy: base64UrlText(policy), ...checked.data, key, signature };
}

export interface OpenedPolicy {
  /** Unparsed bytes. */
  readonly policy: Uint8Array;
  readonly key: string;
  readonly terms: PolicyTerms;
}

/**
 * Opens an envelope.
 *
 * @param expectedKey key that must have signed
 * @param at milliseconds since 1970; null for a time that is judged elsewhere
 * @throws CocosError POLICY_INVALID for another format, an invalid signature, another key, or outside its dates.
 */
export function openPolicy(
  json: unknown,
  expectedKey: string,
  at: number | null,
  crypto: AttestationCrypto,
): OpenedPolicy {
  if (isPolicyEnvelope(json) && typeof json === 'object' && json !== null && !('expires' in json))
    throw invalid(
      'the policy was signed by an earlier version, without version and expiry; its signer signs it again with: cocos-cli attestation sign-policy',
    );
  const envelope = Envelope.safeParse(json);
  if (!envelope.success) {
    const problems = schemaProblems(envelope.error, json).join('; ');
    throw invalid(`the signed policy is invalid at ${problems}`, envelope.error);
  }
  const { key, signature, signedPolicy, ...terms } = envelope.data;
  if (expectedKey !== key) throw invalid(`the policy is signed by ${key}, expected ${expectedKey}`);
  const policy = base64UrlBytes(signedPolicy);
  const publicKey = base64UrlBytes(key.slice('ed25519:'.length));
  if (!crypto.verifyEd25519(publicKey, message(terms, policy), base64UrlBytes(signature)))
    throw invalid('the signature of the policy is invalid');
  if (at === null) return { policy, key, terms };
  if (at + CLOCK_SKEW_MS < instantMs(terms.issuedAt))
    throw invalid(`the policy was issued at ${terms.issuedAt}, which is in the future: check the clock`);
  if (at >= instantMs(terms.expires))
    throw invalid(`the policy expired at ${terms.expires}; get the current one from its signer`);
  return { policy, key, terms };
}
