import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js';
import { z } from 'zod';
import type { AttestationCrypto } from '../../crypto/crypto-port.ts';
import { CocosError } from '../../errors.ts';
import { base64UrlText } from '../encoding/base64url.ts';
import { base64UrlBytes } from '../x509/pem.ts';
import { MAX_POLICY_BYTES } from './policy.ts';

/**
 * A policy with a signature. The envelope contains the bytes of the policy, so that nothing is re-encoded before the
 * verification.
 */

const DOMAIN = utf8ToBytes('cocosai policy v1\0');
const Base64Url = z.string().regex(/^[A-Za-z0-9_-]*$/);

const Envelope = z.strictObject({
  /** The policy's JSON text, base64url. */
  signedPolicy: Base64Url.max(Math.ceil((MAX_POLICY_BYTES * 4) / 3)),
  /** `ed25519:` and the base64url of the key. */
  key: z.string().regex(/^ed25519:[A-Za-z0-9_-]{43}$/),
  signature: Base64Url.length(86),
});
export type PolicyEnvelope = z.infer<typeof Envelope>;

const message = (policy: Uint8Array): Uint8Array => concatBytes(DOMAIN, policy);

/** Whether parsed JSON is an envelope rather than a plain policy. */
export function isPolicyEnvelope(json: unknown): boolean {
  return typeof json === 'object' && json !== null && 'signedPolicy' in json;
}

/**
 * Signs the bytes of a policy file.
 *
 * @param key `ed25519:…` text of the signer's public key.
 * @param signer signs bytes with Ed25519 and returns 64 bytes.
 */
export function signPolicy(
  policy: Uint8Array,
  key: string,
  signer: (message: Uint8Array) => Uint8Array,
): PolicyEnvelope {
  return { signedPolicy: base64UrlText(policy), key, signature: base64UrlText(signer(message(policy))) };
}

/**
 * Opens an envelope.
 *
 * @param expectedKey key that must have signed; all if absent.
 * @returns the unparsed bytes of the policy, and the key that signed them
 * @throws CocosError POLICY_INVALID for another format, an invalid signature or another key.
 */
export function openPolicy(
  json: unknown,
  expectedKey: string | undefined,
  crypto: AttestationCrypto,
): { readonly policy: Uint8Array; readonly key: string } {
  const envelope = Envelope.safeParse(json);
  if (!envelope.success) {
    throw new CocosError('POLICY_INVALID', 'the signed policy does not have the documented format', {
      cause: envelope.error,
    });
  }
  const { key, signature } = envelope.data;
  if (expectedKey !== undefined && expectedKey !== key) {
    throw new CocosError('POLICY_INVALID', `the policy is signed by ${key}, expected ${expectedKey}`);
  }
  const policy = base64UrlBytes(envelope.data.signedPolicy);
  const publicKey = base64UrlBytes(key.slice('ed25519:'.length));
  if (!crypto.verifyEd25519(publicKey, message(policy), base64UrlBytes(signature))) {
    throw new CocosError('POLICY_INVALID', 'the signature of the policy is invalid');
  }
  return { policy, key };
}
