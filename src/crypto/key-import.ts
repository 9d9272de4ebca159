import { createPrivateKey, type KeyObject } from 'node:crypto';
import { CocosError } from '../errors.ts';
import { fromBase64Url, toBase64Url } from './bytes.ts';

/** Private keys of Ed25519 and X25519 in the formats of other programs: PEM (PKCS #8, RFC 8410) and JWK (RFC 8037). */

export type ForeignCurve = 'Ed25519' | 'X25519';
export type ForeignForm = 'pem' | 'jwk';

/**
 * The 32 secret bytes of a key in PEM or JWK.
 * @throws CocosError KEY_FILE_INVALID if it is neither, or of another kind; KEY_PASSPHRASE if it is an encrypted PEM and
 * the passphrase is missing or wrong, or a passphrase is given for a key that is not encrypted
 */
export function importSecretKey(text: string, curve: ForeignCurve, passphrase?: string): Uint8Array {
  const key = readKey(text, passphrase);
  const { crv, d } = key.export({ format: 'jwk' });
  if (crv !== curve || d === undefined) {
    throw new CocosError('KEY_FILE_INVALID', `The key is not an ${curve} key.`, {
      details: { expected: curve, found: crv ?? key.asymmetricKeyType ?? 'unknown' },
    });
  }
  return fromBase64Url(d, 'the key', 'KEY_FILE_INVALID');
}

/** Text of a private key: PKCS #8 in PEM, encrypted if a passphrase is given, or JWK. */
export function exportSecretKey(
  curve: ForeignCurve,
  pair: { readonly publicKey: Uint8Array; readonly secretKey: Uint8Array },
  form: ForeignForm,
  passphrase?: string,
): string {
  const jwk = { kty: 'OKP', crv: curve, x: toBase64Url(pair.publicKey), d: toBase64Url(pair.secretKey) };
  if (form === 'jwk') return `${JSON.stringify(jwk, null, 2)}\n`;
  const key = createPrivateKey({ key: jwk, format: 'jwk' });
  const sealed = passphrase === undefined ? {} : { cipher: 'aes-256-cbc', passphrase };
  return key.export({ type: 'pkcs8', format: 'pem', ...sealed }).toString();
}

function readKey(text: string, passphrase: string | undefined): KeyObject {
  const isJwk = text.trimStart().startsWith('{');
  const isSealed = !isJwk && text.includes('ENCRYPTED');
  if (isSealed && passphrase === undefined) {
    throw new CocosError('KEY_PASSPHRASE', 'The key is encrypted; give its passphrase.');
  }
  // Not decided by the text around the key, which anybody can write.
  if (passphrase !== undefined && opensWithout(text, isJwk)) {
    throw new CocosError(
      'KEY_PASSPHRASE',
      'The key is not encrypted, although a passphrase was given. If it is yours, omit the passphrase.',
    );
  }
  try {
    return parseKey(text, isJwk, passphrase);
  } catch (cause) {
    throw isSealed
      ? new CocosError('KEY_PASSPHRASE', 'The passphrase is wrong, or the key was altered.', { cause })
      : new CocosError('KEY_FILE_INVALID', 'The key is neither a PEM nor a JWK private key.', { cause });
  }
}

function parseKey(text: string, isJwk: boolean, passphrase?: string): KeyObject {
  if (isJwk) return createPrivateKey({ key: JSON.parse(text), format: 'jwk' });
  return createPrivateKey({
    key: text,
    format: 'pem',
    ...(passphrase === undefined ? {} : { passphrase }),
  });
}

function opensWithout(text: string, isJwk: boolean): boolean {
  try {
    parseKey(text, isJwk);
    return true;
  } catch {
    return false;
  }
}
