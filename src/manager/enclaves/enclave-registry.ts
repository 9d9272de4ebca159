import { CocosError } from '../../errors.ts';
import type { MirrorSet } from '../../link/mirror/mirror.ts';
import type { EnclaveHost } from './enclave-host.ts';

export interface Enclave {
  readonly id: string;
  /** `enclave/<id>`. */
  readonly address: string;
  readonly host: EnclaveHost;
  /** The mirrors of its agent's machines. */
  readonly mirrors: MirrorSet;
}

/**
 * Which enclaves exist. Nothing else of the manager answers that: actors, published states and records are added and
 * removed with the entry here.
 */
export class EnclaveRegistry {
  private readonly enclaves = new Map<string, Enclave>();
  private readonly create: (id: string, address: string) => Enclave;

  /** @param create makes an enclave's parts, of which none is running. */
  constructor(create: (id: string, address: string) => Enclave) {
    this.create = create;
  }

  get size(): number {
    return this.enclaves.size;
  }

  all(): Enclave[] {
    return [...this.enclaves.values()];
  }

  add(address: string): Enclave {
    const enclave = this.create(address.slice('enclave/'.length), address);
    this.enclaves.set(address, enclave);
    return enclave;
  }

  delete(address: string): void {
    this.enclaves.get(address)?.mirrors.clear();
    this.enclaves.delete(address);
  }

  find(address: string): Enclave | null {
    return this.enclaves.get(address) ?? null;
  }

  /** @throws CocosError ENCLAVE_NOT_FOUND */
  get(address: string): Enclave {
    const enclave = this.find(address);
    if (enclave === null)
      throw new CocosError('ENCLAVE_NOT_FOUND', `No enclave has the address '${address}'.`);
    return enclave;
  }
}
