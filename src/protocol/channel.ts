import { AEAD_KEY_BYTES, AEAD_NONCE_BYTES, type AeadName, aeadOpen, aeadSeal } from '../crypto/aead.ts';
import { lengthPrefixed, utf8 } from '../crypto/bytes.ts';
import { hkdf } from '../crypto/hkdf.ts';
import { sequenceNonce } from '../crypto/hpke.ts';
import { CocosError } from '../errors.ts';

/**
 * A sealed two-way channel over a shared secret. Each direction has its own key and base nonce. The nonce of a message
 * is the base XOR its sequence number, so a message with an altered number does not open. The relay between the ends
 * can drop messages, but not read, forge, repeat or reorder them.
 */

export type ChannelSide = 'participant' | 'agent';

/** Messages per direction; then a new channel must be opened. */
export const CHANNEL_MESSAGE_LIMIT = 2 ** 32;
/** Sub-channels of one channel, whose labels it remembers. */
export const SUBCHANNEL_LIMIT = 4096;

const LABEL = 'cocosai channel v1';
const SECRET_BYTES = 32;
const EMPTY = new Uint8Array(0);

export interface SealedMessage {
  readonly sequence: number;
  readonly ciphertext: Uint8Array;
}

interface Direction {
  readonly key: Uint8Array;
  readonly baseNonce: Uint8Array;
}

export class SealedChannel {
  readonly #secret: Uint8Array;
  readonly #aead: AeadName;
  readonly #side: ChannelSide;
  readonly #out: Direction;
  readonly #in: Direction;
  readonly #labels = new Set<string>();
  #nextOut = 0;
  #nextIn = 0;
  #isErased = false;

  /** `secret`: 32 bytes that only the two ends share, used for one channel only. */
  constructor(secret: Uint8Array, aead: AeadName, side: ChannelSide) {
    this.#secret = secret;
    this.#aead = aead;
    this.#side = side;
    const toAgent = this.#direction('participant to agent');
    const toParticipant = this.#direction('agent to participant');
    this.#out = side === 'participant' ? toAgent : toParticipant;
    this.#in = side === 'participant' ? toParticipant : toAgent;
  }

  /**
   * Seals a message to the other end. `associatedData` is not sent. The other end must pass the same data, so the sealed
   * body of one method cannot be used for another.
   * @throws CocosError LIMIT_EXCEEDED after 2^32 messages; SESSION_NOT_FOUND if the keys were erased
   */
  seal(body: Uint8Array, associatedData: Uint8Array = EMPTY): SealedMessage {
    this.#requireKeys();
    const sequence = this.#nextOut;
    if (sequence >= CHANNEL_MESSAGE_LIMIT) {
      throw new CocosError(
        'LIMIT_EXCEEDED',
        'The channel has reached its message limit; open a new session.',
      );
    }
    const nonce = sequenceNonce(this.#out.baseNonce, sequence);
    const ciphertext = aeadSeal(this.#aead, this.#out.key, nonce, associatedData, body);
    this.#nextOut = sequence + 1;
    return { sequence, ciphertext };
  }

  /**
   * Opens a message of the other end. Sequence numbers must increase; a gap means that the relay dropped messages. A
   * refused message changes nothing.
   * @throws CocosError SESSION_REPLAYED for a number not above the last opened one; CRYPTO_OPEN_FAILED if number,
   * ciphertext or associated data were altered; INPUT_INVALID for an invalid sequence number; SESSION_NOT_FOUND if the
   * keys were erased
   */
  open(sequence: number, ciphertext: Uint8Array, associatedData: Uint8Array = EMPTY): Uint8Array {
    this.#requireKeys();
    if (!Number.isInteger(sequence) || sequence < 0 || sequence >= CHANNEL_MESSAGE_LIMIT) {
      throw new CocosError('INPUT_INVALID', `Invalid sequence number ${sequence}.`);
    }
    if (sequence < this.#nextIn) {
      throw new CocosError(
        'SESSION_REPLAYED',
        `Message ${sequence} arrived after message ${this.#nextIn - 1}.`,
      );
    }
    const nonce = sequenceNonce(this.#in.baseNonce, sequence);
    const body = aeadOpen(this.#aead, this.#in.key, nonce, associatedData, ciphertext);
    this.#nextIn = sequence + 1;
    return body;
  }

  /** `length` bytes that both ends derive from the channel and the label, such as a transfer key. */
  exportKey(label: string, length: number = AEAD_KEY_BYTES): Uint8Array {
    return this.#derive('export', label, length);
  }

  /**
   * A separate channel derived from this one, with sequence numbers from 0, for a server stream. Each label can be used
   * once, since a second channel under it would repeat nonces.
   * @throws CocosError INPUT_INVALID for a used label; LIMIT_EXCEEDED after 4096 labels
   */
  subchannel(label: string): SealedChannel {
    if (this.#labels.has(label)) throw new CocosError('INPUT_INVALID', `sub-channel ${label} already exists`);
    if (this.#labels.size >= SUBCHANNEL_LIMIT) {
      throw new CocosError(
        'LIMIT_EXCEEDED',
        'The channel has reached its sub-channel limit; open a new session.',
      );
    }
    this.#labels.add(label);
    return new SealedChannel(this.#derive('subchannel', label, SECRET_BYTES), this.#aead, this.#side);
  }

  /** Overwrites the keys and disables the channel. Sub-channels have separate keys. */
  erase(): void {
    this.#isErased = true;
    for (const secret of [this.#secret, this.#out.key, this.#out.baseNonce, this.#in.key, this.#in.baseNonce])
      secret.fill(0);
  }

  #requireKeys(): void {
    if (this.#isErased)
      throw new CocosError(
        'SESSION_NOT_FOUND',
        'The session has ended and its keys were erased; open a new one.',
      );
  }

  #direction(name: string): Direction {
    const material = this.#derive('direction', name, AEAD_KEY_BYTES + AEAD_NONCE_BYTES);
    return { key: material.subarray(0, AEAD_KEY_BYTES), baseNonce: material.subarray(AEAD_KEY_BYTES) };
  }

  #derive(purpose: 'direction' | 'export' | 'subchannel', label: string, length: number): Uint8Array {
    this.#requireKeys();
    return hkdf(this.#secret, lengthPrefixed(utf8(LABEL), utf8(purpose), utf8(label)), length);
  }
}
