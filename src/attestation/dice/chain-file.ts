import { encode, rfc8949EncodeOptions } from 'cborg';
import { CocosError } from '../../errors.ts';
import { DerReader } from '../x509/der.ts';
import { certificateDers, looksLikePem } from '../x509/pem.ts';
import { decodeCbor, parseCoseKey, splitCborSequence } from './cose.ts';

/** Files of DICE chains: X.509 in PEM or DER, one certificate after the other; CBOR as an array or a sequence. */

const MAX_ITEMS = 17;
const DER_SEQUENCE = 0x30;

export interface DiceChainFile {
  readonly format: 'cbor' | 'x509';
  /** First layer first. */
  readonly chain: readonly Uint8Array[];
  /** Root key in front of a CBOR chain: raw Ed25519 key or uncompressed point. */
  readonly rootKey: Uint8Array | undefined;
}

function splitDer(bytes: Uint8Array): Uint8Array[] {
  const reader = new DerReader(bytes);
  const ders: Uint8Array[] = [];
  while (!reader.done) {
    if (ders.length === MAX_ITEMS)
      throw new CocosError('EVIDENCE_INVALID', 'DICE chain: too many certificates');
    ders.push(reader.next().encoded);
  }
  return ders;
}

/** Items of a CBOR file: of its one array, unless that is a certificate itself, or of the sequence. */
function splitCbor(bytes: Uint8Array): Uint8Array[] {
  const items = splitCborSequence(bytes, MAX_ITEMS);
  const [only] = items;
  if (items.length !== 1 || only === undefined) return items;
  const value = decodeCbor(only, 'DICE chain');
  if (!Array.isArray(value) || value[0] instanceof Uint8Array) return items;
  if (value.length > MAX_ITEMS) throw new CocosError('EVIDENCE_INVALID', 'DICE chain: too many items');
  return value.map((item: unknown) => new Uint8Array(encode(item, rfc8949EncodeOptions)));
}

function withRootKey(items: readonly Uint8Array[]): DiceChainFile {
  const [first, ...rest] = items;
  const isKey = first !== undefined && decodeCbor(first, 'DICE chain') instanceof Map;
  if (!isKey) return { format: 'cbor', chain: items, rootKey: undefined };
  const key = parseCoseKey(first);
  const rootKey = key.kind === 'ed25519' ? key.key : key.kind === 'rsa' ? undefined : key.point;
  return { format: 'cbor', chain: rest, rootKey };
}

/**
 * Splits a file into its certificates.
 *
 * @throws CocosError EVIDENCE_INVALID
 */
export function splitDiceChain(bytes: Uint8Array): DiceChainFile {
  if (looksLikePem(bytes)) return { format: 'x509', chain: certificateDers(bytes), rootKey: undefined };
  if (bytes[0] === DER_SEQUENCE) return { format: 'x509', chain: splitDer(bytes), rootKey: undefined };
  return withRootKey(splitCbor(bytes));
}
