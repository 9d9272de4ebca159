import { createPrivateKey, sign } from 'node:crypto';
import type { SessionOpening } from '../../src/protocol/session.ts';

/**
 * The signature of a session opening, built only from the documentation in `src/protocol/session.ts` and node:crypto: for
 * participants that sign messages which an honest program never sends.
 */
export function signOpening(opening: SessionOpening, secretKey: Uint8Array): Uint8Array {
  const core = prefixed(
    ...[Buffer.from('cocosai session v1'), u32(opening.version), opening.sessionId],
    ...[opening.suite.kem, opening.suite.aead, opening.role].map((text) => Buffer.from(text)),
    ...[opening.participant, digest(opening.manifestDigest), digest(opening.evidenceDigest), opening.nonce],
  );
  const signed = prefixed(Buffer.from('cocosai session v1 signature'), core, opening.enc);
  // RFC 8410: the prefix of a PKCS #8 key of Ed25519.
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), secretKey]);
  return sign(null, signed, createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }));
}

function prefixed(...parts: readonly Uint8Array[]): Buffer {
  return Buffer.concat(parts.flatMap((part) => [u32(part.length), part]));
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function digest(text: string): Buffer {
  return Buffer.from(text.replace(/^sha256:/, ''), 'hex');
}

/** X25519 points whose product with any secret is zero (RFC 7748 section 6.1), little-endian. */
export const LOW_ORDER_POINTS: readonly Uint8Array[] = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
].map((hex) => Buffer.from(hex, 'hex'));
