import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { sha256 } from '../../../crypto/digest.ts';
import { CocosError } from '../../../errors.ts';
import { VERSION } from '../../../version.ts';
import { DiceChain, type Layer } from './chain.ts';

const DIGEST_BYTES = 32;
const COMMAND_LINE = '/proc/cmdline';
const ROOT_HASH = /(?:^| )cocos\.roothash=([0-9a-f]{64})(?: |$)/;

/**
 * The chain of this guest up to the running agent. The first layer is the EOS image: its code is the root hash of the
 * verified root, its configuration the kernel command line. The second layer is the agent's program.
 *
 * @param secret of the platform; this function clears it
 * @param program path of the running bundle
 */
export async function openGuestChain(secret: Uint8Array, program: string): Promise<GuestChain> {
  const commandLine = (await readFile(COMMAND_LINE, 'utf8')).trim();
  const rootHash = ROOT_HASH.exec(commandLine)?.[1];
  if (rootHash === undefined) {
    throw new CocosError(
      'EVIDENCE_UNAVAILABLE',
      'The kernel command line has no cocos.roothash: this is not a guest of EOS.',
    );
  }
  const chain = new DiceChain(secret);
  chain.enter({ name: 'eos', version: VERSION, code: Buffer.from(rootHash, 'hex'), commandLine });
  const code = createHash('sha512')
    .update(await readFile(program))
    .digest();
  chain.enter({ name: 'agent', version: VERSION, code });
  return new GuestChain(chain);
}

/** The last layer. Its code is the manifest's digest, or zeros before a manifest is accepted. */
export function computationLayer(manifestDigest: Uint8Array | null): Layer {
  return { name: 'computation', version: VERSION, code: manifestDigest ?? new Uint8Array(DIGEST_BYTES) };
}

/** The chain of a guest, which always ends in the layer of the computation. */
export class GuestChain {
  readonly #chain: DiceChain;
  #certificates: readonly Uint8Array[];

  constructor(chain: DiceChain) {
    this.#chain = chain;
    this.#certificates = chain.certificatesWith(computationLayer(null));
  }

  /** Enters the layer of a computation and destroys the secrets of the agent's layer. */
  enterComputation(manifestDigest: Uint8Array): void {
    this.#chain.enter(computationLayer(manifestDigest));
    this.#certificates = [...this.#chain.certificates];
  }

  /** Raw Ed25519 key of the platform secret, which signs the first layer. */
  get rootKey(): Uint8Array {
    return this.#chain.rootKey;
  }

  /** SHA-256 of the root key. */
  get rootDigest(): Uint8Array {
    return sha256(this.rootKey);
  }

  /** First layer first. */
  get certificates(): readonly Uint8Array[] {
    return this.#certificates;
  }

  /** SHA-256 of the last certificate. */
  get leafDigest(): Uint8Array {
    return sha256(this.#certificates.at(-1) ?? new Uint8Array());
  }
}
