import { bytesToHex } from '@noble/hashes/utils.js';
import type { AttestationHashes } from '../../crypto/crypto-port.ts';
import { asBytes, asMap, coseError, coseKeyId, decodeCbor, parseCoseKey, parseSign1 } from './cose.ts';
import type { DiceLayer } from './layer.ts';
import { DICE_MODES } from './policy-rules.ts';

/** Certificates in CBOR (Open Profile for DICE, CBOR certificates): a COSE_Sign1 over CWT claims. */

const LABEL = {
  issuer: 1,
  subject: 2,
  codeHash: -4_670_545,
  codeDescriptor: -4_670_546,
  configurationHash: -4_670_547,
  configurationDescriptor: -4_670_548,
  authorityHash: -4_670_549,
  authorityDescriptor: -4_670_550,
  mode: -4_670_551,
  subjectPublicKey: -4_670_552,
  keyUsage: -4_670_553,
  profileName: -4_670_554,
  /** Project Oak: a measurement of the layer in place of the code hash, and its digest inside. */
  event: -4_670_573,
} as const;
const EVENT_DIGEST = -4_670_572;
const KNOWN = new Set<unknown>(Object.values(LABEL));
/** keyCertSign, as the bit string of X.509 has it. */
const KEY_CERT_SIGN = 0x20;

function identifier(value: unknown, what: string): string {
  if (typeof value !== 'string' || !/^[0-9a-f]{40}$/.test(value))
    throw coseError(`${what} is not 20 bytes in hex`);
  return value;
}

/** Mode as a byte string of one byte; older writers have an integer. */
function readMode(value: unknown): DiceLayer['mode'] {
  if (value === undefined) return 'unstated';
  const number = value instanceof Uint8Array && value.length === 1 ? value[0] : value;
  const mode = typeof number === 'number' ? DICE_MODES[number] : undefined;
  if (mode === undefined) throw coseError('the mode is unknown');
  return mode;
}

/** The code hash of the Open Profile, or the event digest of Oak; exactly one of them. */
function readCodeHash(claims: ReadonlyMap<unknown, unknown>): Uint8Array {
  const event = claims.get(LABEL.event);
  if ((event === undefined) === (claims.get(LABEL.codeHash) === undefined))
    throw coseError('a certificate needs either a code hash or an event');
  if (event === undefined) return asBytes(claims.get(LABEL.codeHash), 'code hash');
  const digests = asMap(event, 'the event');
  if (digests.size !== 1) throw coseError('an event has more than its digest');
  return asBytes(digests.get(EVENT_DIGEST), 'event digest');
}

/**
 * Reads one certificate.
 *
 * @throws CocosError EVIDENCE_INVALID
 */
export function parseCborLayer(bytes: Uint8Array, hashes: AttestationHashes): DiceLayer {
  const { payload, message, signature, scheme } = parseSign1(bytes);
  const claims = asMap(decodeCbor(payload, 'the claims'), 'the claims');
  for (const label of claims.keys()) if (!KNOWN.has(label)) throw coseError(`unknown claim ${String(label)}`);
  const optional = (label: number, what: string): Uint8Array | null =>
    claims.has(label) ? asBytes(claims.get(label), what) : null;
  const hash = optional(LABEL.configurationHash, 'configuration hash');
  const descriptor = optional(LABEL.configurationDescriptor, 'configuration descriptor');
  const problems: string[] = [];
  if (hash !== null && descriptor !== null && bytesToHex(hashes.sha512(descriptor)) !== bytesToHex(hash)) {
    problems.push('the configuration descriptor does not match its hash');
  }
  const usage = asBytes(claims.get(LABEL.keyUsage), 'key usage');
  if (((usage[0] ?? 0) & KEY_CERT_SIGN) === 0) problems.push('the key may not sign certificates');
  const isOak = claims.has(LABEL.event);
  const subjectKey = asBytes(claims.get(LABEL.subjectPublicKey), 'the subject key');
  return {
    encoded: bytes,
    issuer: identifier(claims.get(LABEL.issuer), 'the issuer'),
    subject: identifier(claims.get(LABEL.subject), 'the subject'),
    key: parseCoseKey(subjectKey),
    keyId: isOak ? coseKeyId(subjectKey) : null,
    codeHash: readCodeHash(claims),
    configuration: hash ?? descriptor,
    configurationDescriptor: hash === null ? null : descriptor,
    // Required in the Open Profile; Oak's certificates have none.
    authorityHash: isOak ? null : asBytes(claims.get(LABEL.authorityHash), 'authority hash'),
    mode: readMode(claims.get(LABEL.mode)),
    validity: null,
    pathLength: null,
    problems,
    signed: { message, signature, scheme },
  };
}
