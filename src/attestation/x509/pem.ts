import { CocosError } from '../../errors.ts';

/** PEM (RFC 7468): texts of certificates, revocation lists and keys. */

export interface PemBlock {
  /** For example `CERTIFICATE`, `X509 CRL`, `PUBLIC KEY`. */
  readonly label: string;
  readonly der: Uint8Array;
}

const MAX_PEM_CHARACTERS = 4 * 1024 * 1024;
const BOUNDARY = /-----(BEGIN|END) ([A-Z0-9 ]{1,40})-----/g;
/** Dashes that touch a word are what a damaged boundary leaves behind; comments do not look like this. */
const DAMAGED_BOUNDARY = /-{4,}[^\s-]|[^\s-]-{4,}/;
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

const malformedPem = (sentence: string, cause?: unknown): CocosError =>
  new CocosError('EVIDENCE_INVALID', `malformed PEM: ${sentence}`, { cause });

function blockBytes(label: string, number: number, body: string): Uint8Array {
  try {
    return base64Bytes(body.replace(/\s+/g, ''));
  } catch (cause) {
    throw malformedPem(`block ${number} (${label}) has a character that is not base64, or is cut`, cause);
  }
}

function checkBetweenBlocks(text: string, number: number): void {
  if (DAMAGED_BOUNDARY.test(text))
    throw malformedPem(`a damaged BEGIN or END line after ${number} complete blocks`);
}

/**
 * Every block of a PEM text, in order. Text between blocks is ignored, as tools write comments there. A damaged block is
 * an error and never skipped: it may be the revocation list that decides.
 *
 * @throws CocosError EVIDENCE_INVALID when a block is malformed.
 */
export function pemBlocks(text: string): PemBlock[] {
  if (text.length > MAX_PEM_CHARACTERS)
    throw new CocosError('EVIDENCE_INVALID', 'the PEM text is larger than 4 MiB');
  const blocks: PemBlock[] = [];
  let open: string | null = null;
  let from = 0;
  for (const boundary of text.matchAll(BOUNDARY)) {
    const [line, kind, label = ''] = boundary;
    const before = text.slice(from, boundary.index);
    from = boundary.index + line.length;
    if (kind === 'BEGIN') {
      if (open !== null) throw malformedPem(`block ${blocks.length + 1} (${open}) has no END line`);
      checkBetweenBlocks(before, blocks.length);
      open = label;
      continue;
    }
    if (open === null) throw malformedPem(`an END line (${label}) without its BEGIN line`);
    if (open !== label)
      throw malformedPem(`block ${blocks.length + 1} begins as ${open} and ends as ${label}`);
    blocks.push({ label, der: blockBytes(label, blocks.length + 1, before) });
    open = null;
  }
  if (open !== null) throw malformedPem(`block ${blocks.length + 1} (${open}) has no END line`);
  checkBetweenBlocks(text.slice(from), blocks.length);
  return blocks;
}

const DER_SEQUENCE = 0x30;
/** `0` is also the first character of some texts, but a long-form length never follows it there. */
export const looksLikeDer = (bytes: Uint8Array): boolean =>
  bytes[0] === DER_SEQUENCE && (bytes[1] ?? 0) >= 0x80;

/** Whether bytes are PEM, after any text, or PEM of which one boundary is damaged. */
export function looksLikePem(bytes: Uint8Array): boolean {
  if (looksLikeDer(bytes) || bytes.length > MAX_PEM_CHARACTERS) return false;
  return /-----(?:BEGIN|END) /.test(new TextDecoder('latin1').decode(bytes));
}

/**
 * Certificates from a file in PEM (any number) or DER (one).
 *
 * @throws CocosError EVIDENCE_INVALID
 */
export function certificateDers(bytes: Uint8Array): Uint8Array[] {
  if (!looksLikePem(bytes)) return [bytes];
  const text = new TextDecoder('latin1').decode(bytes);
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
