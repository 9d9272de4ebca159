import { CocosError } from '../../errors.ts';

/** PEM (RFC 7468): texts of certificates, revocation lists and keys. */

export interface PemBlock {
  /** For example `CERTIFICATE`, `X509 CRL`, `PUBLIC KEY`. */
  readonly label: string;
  readonly der: Uint8Array;
}

const MAX_PEM_CHARACTERS = 4 * 1024 * 1024;
const BLOCK = /-----BEGIN ([A-Z0-9 ]{1,40})-----([A-Za-z0-9+/=\s]*?)-----END ([A-Z0-9 ]{1,40})-----/g;
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
/** Value of each digit by its character code. Other characters have a bit that no digit has. */
const NO_DIGIT = 0x80;
const VALUES = new Uint8Array(256).fill(NO_DIGIT);
for (let index = 0; index < ALPHABET.length; index += 1) VALUES[ALPHABET.charCodeAt(index)] = index;

/**
 * Strict base64 with padding (RFC 4648 section 4).
 *
 * @throws CocosError EVIDENCE_INVALID
 */
export function base64Bytes(text: string): Uint8Array {
  const malformed = (): CocosError => new CocosError('EVIDENCE_INVALID', 'the base64 text is malformed');
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0;
  if (text.length % 4 !== 0) throw malformed();
  const bytes = new Uint8Array((text.length / 4) * 3 - padding);
  const value = (index: number): number => {
    const code = text.charCodeAt(index);
    return code < VALUES.length ? (VALUES[code] as number) : NO_DIGIT;
  };
  const whole = padding === 0 ? text.length : text.length - 4;
  let seen = 0;
  let at = 0;
  for (let index = 0; index < whole; index += 4) {
    const [a, b, c, d] = [value(index), value(index + 1), value(index + 2), value(index + 3)];
    seen |= a | b | c | d;
    bytes[at] = (a << 2) | (b >> 4);
    bytes[at + 1] = ((b & 0xf) << 4) | (c >> 2);
    bytes[at + 2] = ((c & 3) << 6) | d;
    at += 3;
  }
  if (padding > 0) {
    const [a, b, c] = [value(whole), value(whole + 1), padding === 1 ? value(whole + 2) : 0];
    seen |= a | b | c;
    bytes[at] = (a << 2) | (b >> 4);
    if (padding === 1) bytes[at + 1] = ((b & 0xf) << 4) | (c >> 2);
    // Unused bits must be zero; otherwise a byte string would have several encodings.
    if ((padding === 2 ? b & 0xf : c & 3) !== 0) throw malformed();
  }
  if ((seen & NO_DIGIT) !== 0) throw malformed();
  return bytes;
}

/**
 * Every block of a PEM text, in order; text between blocks is ignored, as tools write comments there.
 *
 * @throws CocosError EVIDENCE_INVALID when a block is malformed.
 */
export function pemBlocks(text: string): PemBlock[] {
  if (text.length > MAX_PEM_CHARACTERS)
    throw new CocosError('EVIDENCE_INVALID', 'the PEM text is larger than 4 MiB');
  return Array.from(text.matchAll(BLOCK), ([, label = '', body = '', end]) => {
    if (label !== end) throw new CocosError('EVIDENCE_INVALID', `the PEM block ${label} ends with ${end}`);
    return { label, der: base64Bytes(body.replace(/\s+/g, '')) };
  });
}

/** Whether bytes look like PEM: DER and the binary formats of evidence never start like this. */
export function looksLikePem(bytes: Uint8Array): boolean {
  const head = String.fromCharCode(...bytes.subarray(0, 2048));
  return head.includes('-----BEGIN ');
}

/**
 * Certificates from a file in PEM (any number) or DER (one).
 *
 * @throws CocosError EVIDENCE_INVALID
 */
export function certificateDers(bytes: Uint8Array): Uint8Array[] {
  if (!looksLikePem(bytes)) return [bytes];
  const text = new TextDecoder().decode(bytes);
  const ders = pemBlocks(text).filter(({ label }) => label === 'CERTIFICATE');
  if (ders.length === 0) throw new CocosError('EVIDENCE_INVALID', 'the PEM text contains no certificate');
  return ders.map(({ der }) => der);
}

/**
 * Strict base64url without padding (RFC 4648 section 5).
 *
 * @throws CocosError EVIDENCE_INVALID
 */
export function base64UrlBytes(text: string): Uint8Array {
  if (!/^[A-Za-z0-9_-]*$/.test(text))
    throw new CocosError('EVIDENCE_INVALID', 'the base64url text is malformed');
  const standard = text.replaceAll('-', '+').replaceAll('_', '/');
  return base64Bytes(standard.padEnd(Math.ceil(standard.length / 4) * 4, '='));
}
