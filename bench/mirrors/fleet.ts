import type { MirrorSet } from '../../src/link/mirror/mirror.ts';
import { decodeFrame, LengthPrefixReader } from '../../src/link/wire/frame.ts';
import { Directory, type Persistence } from '../../src/manager/control/directory.ts';
import { JournalReceiver } from '../../src/manager/enclaves/journal-receiver.ts';
import { MirrorJournal } from '../../src/manager/store/mirror-journal.ts';
import type { Store } from '../../src/manager/store/store.ts';
import { TransitionStore } from '../../src/manager/store/transition-store.ts';
import { openingFrames } from './world.ts';

interface Enclave {
  readonly reader: LengthPrefixReader;
  readonly receive: (seq: number, body: unknown, frame: Uint8Array) => void;
  received: number;
}

const NOTHING_TO_STORE = Promise.resolve();
const IN_MEMORY: Persistence = {
  persistActor: () => NOTHING_TO_STORE,
  mirrorsOf: () => () => NOTHING_TO_STORE,
};

/**
 * The mirrored side of a manager: one directory over many enclaves whose frames come as chunks of bytes. With a store
 * it is wired as the manager wires it; without one, what comes in moves mirrors and reaches watchers, and no more.
 */
export class Fleet {
  readonly directory: Directory;
  private readonly enclaves: Enclave[] = [];
  private readonly mirrors = new Map<string, MirrorSet>();
  private readonly journal: MirrorJournal | null;

  constructor(store: Store | null) {
    if (store === null) {
      this.journal = null;
      this.directory = new Directory(0, IN_MEMORY);
      return;
    }
    const journal = new MirrorJournal({
      store,
      firstNumber: 0,
      mirrorsOf: (enclave) => this.mirrors.get(enclave) ?? null,
      onFailure: (error) => {
        throw error;
      },
    });
    const transitions = new TransitionStore({
      ...{ store, journal, exporter: null, computationOf: () => null },
      log: (_, message) => {
        throw new Error(message);
      },
    });
    this.journal = journal;
    this.directory = new Directory(0, transitions);
  }

  /** Adds enclaves that have come to the beginning of the stream. */
  grow(count: number): void {
    const opening = openingFrames();
    for (let added = 0; added < count; added++) {
      const address = `enclave/${(this.enclaves.length + 0x10000).toString(16)}`;
      const mirrors = this.directory.createMirrors(address);
      this.mirrors.set(address, mirrors);
      const receive = this.receiverOf(address, mirrors);
      this.enclaves.push({ reader: new LengthPrefixReader(), receive, received: 0 });
      for (const chunk of opening) this.take(this.enclaves.length - 1, chunk);
    }
  }

  private receiverOf(address: string, mirrors: MirrorSet): Enclave['receive'] {
    if (this.journal === null) return (_, body) => void mirrors.apply(body);
    const receiver = new JournalReceiver({
      ...{ mirrors, journal: this.journal.enclave(address) },
      onRetired: (retired) => this.directory.forget(retired),
    });
    return (seq, body, frame) => {
      receiver.receiveEvent(body);
      void receiver.commit({ peerBootId: 'bench', received: seq }, { kind: 'event', frame });
    };
  }

  /** One chunk of an enclave's stream: decoded, checked, applied to its mirrors, stored and published. */
  take(index: number, chunk: Buffer): void {
    const enclave = this.enclaves[index];
    if (enclave === undefined) throw new Error(`there is no enclave ${index}`);
    for (const message of enclave.reader.push(chunk)) {
      const frame = decodeFrame(message);
      if (frame.seq !== enclave.received + 1) throw new Error(`frame ${frame.seq} after ${enclave.received}`);
      enclave.received = frame.seq;
      enclave.receive(frame.seq, frame.body, message);
    }
  }

  get size(): number {
    return this.enclaves.length;
  }
}
