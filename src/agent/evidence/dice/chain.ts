import { createHash } from 'node:crypto';
import { encodeDeterministic } from '../../../attestation/encoding/cbor.ts';
import { layerCertificate } from './certificate.ts';
import {
  CDI_BYTES,
  type Cdis,
  HASH_BYTES,
  keyOf,
  type LayerInputs,
  type LayerKey,
  MODE,
  nextCdis,
} from './derive.ts';

/** Labels of a configuration descriptor (Open Profile for DICE); the last one is private to this project. */
const COMPONENT_NAME = -70002;
const COMPONENT_VERSION = -70003;
const COMMAND_LINE_SHA256 = -71000;

/** One layer of this system. */
export interface Layer {
  readonly name: string;
  readonly version: string;
  /** Digest of the code, at most 64 bytes; a shorter one is padded with zeros. */
  readonly code: Uint8Array;
  /** Kernel command line, for the layer that has one. */
  readonly commandLine?: string;
}

/** The values that a layer's certificate states. */
export function layerInputs(layer: Layer): { inputs: LayerInputs; descriptor: Uint8Array } {
  const members: [number, unknown][] = [
    [COMPONENT_NAME, layer.name],
    [COMPONENT_VERSION, layer.version],
  ];
  if (layer.commandLine !== undefined) {
    members.push([COMMAND_LINE_SHA256, createHash('sha256').update(layer.commandLine).digest()]);
  }
  const descriptor = encodeDeterministic(new Map(members));
  const code = new Uint8Array(HASH_BYTES);
  code.set(layer.code);
  const configuration = createHash('sha512').update(descriptor).digest();
  const none = new Uint8Array(HASH_BYTES);
  return {
    inputs: { code, configuration, authority: none, mode: MODE.normal, hidden: none },
    descriptor,
  };
}

/**
 * The chain of layers of this boot. It holds the secrets of the last layer only. Entering a layer destroys those of
 * the previous one, which cannot be derived again.
 */
export class DiceChain {
  /** Raw Ed25519 key of the platform secret, which signs the first layer. */
  readonly rootKey: Uint8Array;
  readonly #certificates: Uint8Array[] = [];
  #cdis: Cdis;
  #key: LayerKey;

  /** @param secret 32 bytes from the platform; the constructor clears them */
  constructor(secret: Uint8Array) {
    if (secret.length !== CDI_BYTES) throw new RangeError(`a platform secret has ${CDI_BYTES} bytes`);
    this.#cdis = { attest: Uint8Array.from(secret), seal: Uint8Array.from(secret) };
    secret.fill(0);
    this.#key = keyOf(this.#cdis.attest);
    this.rootKey = this.#key.publicKey;
  }

  /** Enters the next layer. */
  enter(layer: Layer): void {
    const { inputs, descriptor } = layerInputs(layer);
    const next = nextCdis(this.#cdis, inputs);
    const key = keyOf(next.attest);
    this.#certificates.push(layerCertificate(this.#key, key, inputs, descriptor));
    this.#cdis.attest.fill(0);
    this.#cdis.seal.fill(0);
    this.#cdis = next;
    this.#key = key;
  }

  /** The certificates so far, first layer first. */
  get certificates(): readonly Uint8Array[] {
    return this.#certificates;
  }

  /** The certificates, plus one for a layer that is not entered. */
  certificatesWith(layer: Layer): readonly Uint8Array[] {
    const { inputs, descriptor } = layerInputs(layer);
    const next = nextCdis(this.#cdis, inputs);
    const certificate = layerCertificate(this.#key, keyOf(next.attest), inputs, descriptor);
    next.attest.fill(0);
    next.seal.fill(0);
    return [...this.#certificates, certificate];
  }
}
