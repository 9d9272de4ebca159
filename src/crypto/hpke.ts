import { CocosError } from '../errors.ts';
import { AEAD_KEY_BYTES, AEAD_NONCE_BYTES, type AeadName, aeadOpen, aeadSeal } from './aead.ts';
import { concat, u16be, utf8 } from './bytes.ts';
import { labeledExpand, labeledExtract } from './hkdf.ts';
import type { Kem, KemKeyPair, KemName } from './kem.ts';
import { X25519_KEM } from './kem-x25519.ts';
import { XWING_KEM } from './kem-xwing.ts';

/**
 * Hybrid public key encryption (RFC 9180), modes base and auth, with HKDF-SHA256. As in the RFC, a context serves one
 * direction: the sender seals, the receiver opens, both export.
 */

export interface Suite {
  readonly kem: KemName;
  readonly aead: AeadName;
}

export const DEFAULT_SUITE: Suite = { kem: 'x-wing', aead: 'chacha20-poly1305' };

/** Messages per context: far below the bound of RFC 9180 section 5.2, and exactly representable. */
export const HPKE_MESSAGE_LIMIT = 2 ** 32;

const MODE_BASE = 0;
const MODE_AUTH = 2;
const KDF_HKDF_SHA256 = 0x0001;
const AEAD_IDS: Readonly<Record<AeadName, number>> = { 'aes-256-gcm': 0x0002, 'chacha20-poly1305': 0x0003 };
const KEMS: Readonly<Record<KemName, Kem>> = { 'x-wing': XWING_KEM, x25519: X25519_KEM };
const EXPORTER_SECRET_BYTES = 32;
/** RFC 5869: HKDF-Expand produces at most 255 blocks. */
const MAX_EXPORT_BYTES = 255 * 32;
const EMPTY = new Uint8Array(0);

/** Whether these names from the wire denote a suite. */
export function isSuite(names: { readonly kem: string; readonly aead: string }): names is Suite {
  return Object.hasOwn(KEMS, names.kem) && Object.hasOwn(AEAD_IDS, names.aead);
}

/** The KEM of this name. */
export function kemOf(name: KemName): Kem {
  return KEMS[name];
}

/** A fresh key pair of a KEM. */
export function generateKemKeyPair(kem: KemName): KemKeyPair {
  return KEMS[kem].generate();
}

/**
 * The key pair of a 32-byte seed: DeriveKeyPair of RFC 9180 section 7.1.3 for X25519; for X-Wing the key pair whose
 * secret key is the seed.
 * @throws CocosError INPUT_INVALID for a seed of another length
 */
export function deriveKemKeyPair(kem: KemName, seed: Uint8Array): KemKeyPair {
  return KEMS[kem].derive(seed);
}

export interface SenderOptions {
  /** Secret key of the sender for mode auth; X25519 only. */
  readonly auth?: Uint8Array;
  /** Fixes the randomness, for known-answer tests: 32 bytes for X25519, 64 for X-Wing. */
  readonly ephemeralSeed?: Uint8Array;
  readonly messageLimit?: number;
}

export interface ReceiverOptions {
  /** Public key of the sender for mode auth; X25519 only. */
  readonly authPublicKey?: Uint8Array;
  readonly messageLimit?: number;
}

interface Schedule {
  readonly aead: AeadName;
  readonly key: Uint8Array;
  readonly baseNonce: Uint8Array;
  readonly exporterSecret: Uint8Array;
  readonly suiteId: Uint8Array;
  readonly limit: number;
}

/** Common base of both directions: the counter, its limit, and the exporter. */
class Context {
  protected readonly schedule: Schedule;
  #sequence = 0;
  #isErased = false;

  constructor(schedule: Schedule) {
    this.schedule = schedule;
  }

  /** Number of the next message. */
  get sequence(): number {
    return this.#sequence;
  }

  /** Context.Export of RFC 9180 section 5.3: `length` bytes, at most 8160. @throws CocosError INPUT_INVALID */
  export(context: Uint8Array, length: number): Uint8Array {
    if (!Number.isInteger(length) || length < 0 || length > MAX_EXPORT_BYTES) {
      throw new CocosError(
        'INPUT_INVALID',
        `An export has 0 to ${MAX_EXPORT_BYTES} bytes; ${length} were requested.`,
      );
    }
    this.#requireKeys();
    return labeledExpand(this.schedule.suiteId, this.schedule.exporterSecret, 'sec', context, length);
  }

  /** Overwrites the keys and disables the context. */
  erase(): void {
    this.#isErased = true;
    const { key, baseNonce, exporterSecret } = this.schedule;
    for (const secret of [key, baseNonce, exporterSecret]) secret.fill(0);
  }

  #requireKeys(): void {
    if (this.#isErased) throw new CocosError('INTERNAL', 'The keys of the HPKE context were erased.');
  }

  protected nonce(): Uint8Array {
    this.#requireKeys();
    if (this.#sequence >= this.schedule.limit) {
      throw new CocosError('LIMIT_EXCEEDED', 'The HPKE context has reached its message limit.');
    }
    return sequenceNonce(this.schedule.baseNonce, this.#sequence);
  }

  protected advance(): void {
    this.#sequence += 1;
  }
}

export class HpkeSender extends Context {
  /** ContextS.Seal of RFC 9180 section 5.2. @throws CocosError LIMIT_EXCEEDED after the last message */
  seal(aad: Uint8Array, plaintext: Uint8Array): Uint8Array {
    const sealed = aeadSeal(this.schedule.aead, this.schedule.key, this.nonce(), aad, plaintext);
    this.advance();
    return sealed;
  }
}

export class HpkeReceiver extends Context {
  /**
   * ContextR.Open of RFC 9180 section 5.2. A message that does not open leaves the counter unchanged.
   * @throws CocosError CRYPTO_OPEN_FAILED, or LIMIT_EXCEEDED after the last message
   */
  open(aad: Uint8Array, ciphertext: Uint8Array): Uint8Array {
    const opened = aeadOpen(this.schedule.aead, this.schedule.key, this.nonce(), aad, ciphertext);
    this.advance();
    return opened;
  }
}

/** ComputeNonce of RFC 9180 section 5.2: the base nonce XOR the big-endian sequence number (below 2^53). */
export function sequenceNonce(baseNonce: Uint8Array, sequence: number): Uint8Array {
  const nonce = Uint8Array.from(baseNonce);
  const view = new DataView(nonce.buffer);
  view.setBigUint64(AEAD_NONCE_BYTES - 8, view.getBigUint64(AEAD_NONCE_BYTES - 8) ^ BigInt(sequence));
  return nonce;
}

/**
 * SetupBaseS, or SetupAuthS with `options.auth` (RFC 9180 sections 5.1.1 and 5.1.3).
 * @throws CocosError CRYPTO_KEY_INVALID for a public key of the wrong length, malformed or of low order;
 * INPUT_INVALID if the KEM has no mode auth
 */
export function setupSender(
  suite: Suite,
  recipientPublicKey: Uint8Array,
  info: Uint8Array,
  options: SenderOptions = {},
): { enc: Uint8Array; context: HpkeSender } {
  const kem = KEMS[suite.kem];
  const { enc, sharedSecret } =
    options.auth === undefined
      ? kem.encapsulate(recipientPublicKey, options.ephemeralSeed)
      : requireAuthenticated(kem).encapsulate(recipientPublicKey, options.auth, options.ephemeralSeed);
  const mode = options.auth === undefined ? MODE_BASE : MODE_AUTH;
  return { enc, context: new HpkeSender(keySchedule(suite, mode, sharedSecret, info, options.messageLimit)) };
}

/**
 * SetupBaseR, or SetupAuthR with `options.authPublicKey`.
 * @throws CocosError CRYPTO_KEY_INVALID for an encapsulated or sender key of the wrong length, malformed or
 * of low order; INPUT_INVALID if the KEM has no mode auth
 */
export function setupReceiver(
  suite: Suite,
  enc: Uint8Array,
  recipientSecretKey: Uint8Array,
  info: Uint8Array,
  options: ReceiverOptions = {},
): HpkeReceiver {
  const kem = KEMS[suite.kem];
  const sharedSecret =
    options.authPublicKey === undefined
      ? kem.decapsulate(enc, recipientSecretKey)
      : requireAuthenticated(kem).decapsulate(enc, recipientSecretKey, options.authPublicKey);
  const mode = options.authPublicKey === undefined ? MODE_BASE : MODE_AUTH;
  return new HpkeReceiver(keySchedule(suite, mode, sharedSecret, info, options.messageLimit));
}

function requireAuthenticated(kem: Kem): NonNullable<Kem['authenticated']> {
  if (kem.authenticated === undefined) {
    throw new CocosError('INPUT_INVALID', `The KEM '${kem.name}' has no authenticated mode.`);
  }
  return kem.authenticated;
}

/** KeySchedule of RFC 9180 section 5.1, without a pre-shared key. */
function keySchedule(
  suite: Suite,
  mode: number,
  sharedSecret: Uint8Array,
  info: Uint8Array,
  limit: number = HPKE_MESSAGE_LIMIT,
): Schedule {
  const suiteId = concat(
    utf8('HPKE'),
    u16be(KEMS[suite.kem].id),
    u16be(KDF_HKDF_SHA256),
    u16be(AEAD_IDS[suite.aead]),
  );
  const pskIdHash = labeledExtract(suiteId, EMPTY, 'psk_id_hash', EMPTY);
  const infoHash = labeledExtract(suiteId, EMPTY, 'info_hash', info);
  const context = concat(Uint8Array.of(mode), pskIdHash, infoHash);
  const secret = labeledExtract(suiteId, sharedSecret, 'secret', EMPTY);
  sharedSecret.fill(0);
  const schedule = {
    aead: suite.aead,
    key: labeledExpand(suiteId, secret, 'key', context, AEAD_KEY_BYTES),
    baseNonce: labeledExpand(suiteId, secret, 'base_nonce', context, AEAD_NONCE_BYTES),
    exporterSecret: labeledExpand(suiteId, secret, 'exp', context, EXPORTER_SECRET_BYTES),
    suiteId,
    limit,
  };
  secret.fill(0);
  return schedule;
}
