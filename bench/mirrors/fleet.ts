import type { MirrorSet } from '../../src/link/mirror/mirror.ts';
import { decodeFrame, LengthPrefixReader } from '../../src/link/wire/frame.ts';
import { Directory, type Persist } from '../../src/manager/control/directory.ts';
import { openingFrames } from './world.ts';

interface Enclave {
  readonly reader: LengthPrefixReader;
  readonly mirrors: MirrorSet;
  received: number;
}

/** Takes how far an enclave's journal was taken in, as the manager's store does. */
export type Commit = (address: string, received: number, frame: Uint8Array) => void;

/** How a fleet keeps what it takes in. */
export interface Keeping {
  readonly persist: Persist;
  readonly commit: Commit;
}

/** The mirrored side of a manager: one directory over many enclaves whose frames come as chunks of bytes. */
export class Fleet {
  readonly directory: Directory;
  private readonly enclaves: Enclave[] = [];
  private readonly addresses: string[] = [];
  private readonly commit: Commit;

  constructor(keep: (mirrorsOf: (enclave: string) => MirrorSet) => Keeping) {
    const { persist, commit } = keep((enclave) => this.directory.mirrorsOf(enclave));
    this.directory = new Directory(0, persist);
    this.commit = commit;
  }

  /** Adds enclaves that have come to the beginning of the stream. */
  grow(count: number): void {
    const opening = openingFrames();
    for (let added = 0; added < count; added++) {
      const address = `enclave/${(this.enclaves.length + 0x10000).toString(16)}`;
      this.addresses.push(address);
      this.enclaves.push({
        reader: new LengthPrefixReader(),
        mirrors: this.directory.mirrorsOf(address),
        received: 0,
      });
      for (const chunk of opening) this.take(this.enclaves.length - 1, chunk);
    }
  }

  /** One chunk of an enclave's stream: decoded, checked, applied to its mirrors, stored and told. */
  take(index: number, chunk: Buffer): void {
    const enclave = this.enclaves[index];
    const address = this.addresses[index];
    if (enclave === undefined || address === undefined) throw new Error(`there is no enclave ${index}`);
    for (const message of enclave.reader.push(chunk)) {
      const frame = decodeFrame(message);
      if (frame.seq !== enclave.received + 1) throw new Error(`frame ${frame.seq} after ${enclave.received}`);
      enclave.mirrors.apply(frame.body);
      enclave.received = frame.seq;
      this.commit(address, frame.seq, message);
    }
  }

  get size(): number {
    return this.enclaves.length;
  }
}
