import type { LinkPosition } from '../../link/link.ts';
import type { JoinedWrite } from './joined-write.ts';
import type { JournalWriter } from './journal-writer.ts';

/** Before anything was received of any boot. */
const NOWHERE: LinkPosition = { peerBootId: '', received: 0 };

/** What differs of an enclave's mirrors from what is stored of them. */
export interface Changes {
  readonly position: LinkPosition;
  /** Own addresses of the mirrors, without the enclave's. */
  readonly mirrors: readonly string[];
  /** Whether the mirrors began anew since they were stored: what is stored is removed with the next writing. */
  readonly isCleared: boolean;
}

/**
 * One enclave's part of the mirror journal. Whoever receives for an enclave holds it: among thousands of enclaves,
 * looking it up would cost as much as all the rest of an event.
 */
export class EnclaveJournal {
  readonly address: string;
  private readonly writer: JournalWriter;
  private readonly writeChanges: (enclave: EnclaveJournal) => Promise<void>;
  private at = NOWHERE;
  /** Full addresses of the mirrors that differ from what is stored of them. */
  private readonly changed = new Set<string>();
  private isUnstored = false;
  private isCleared = false;

  constructor(
    address: string,
    writer: JournalWriter,
    writeChanges: (enclave: EnclaveJournal) => Promise<void>,
  ) {
    this.address = address;
    this.writer = writer;
    this.writeChanges = writeChanges;
  }

  /** How far the journal of the enclave's agent was received; null for nothing. */
  get position(): LinkPosition | null {
    return this.at === NOWHERE ? null : this.at;
  }

  /** Continues where an earlier run has stored everything. */
  resume(position: LinkPosition): void {
    this.at = position;
  }

  /**
   * Stores one step of the agent's journal, after it was applied.
   *
   * @param frame bytes of a frame that holds an event; null for one that moves nothing.
   * @returns resolves when it is on the disk.
   */
  append(position: LinkPosition, frame: Uint8Array | null): Promise<void> {
    this.at = position;
    this.isUnstored = true;
    return this.writer.append([this.address, position.peerBootId, position.received, frame]);
  }

  /**
   * Records that a mirror has moved, begun or ended.
   *
   * @param mirror its full address.
   * @param joined is stored in the same transaction as the cause of it, which is what was or will be appended in this
   * turn of the event loop.
   * @returns resolves when all of that is on the disk.
   */
  touch(mirror: string, joined: JoinedWrite | null = null): Promise<void> {
    this.changed.add(mirror);
    this.isUnstored = true;
    return this.writer.join(joined);
  }

  /**
   * Every mirror of the enclave begins anew, with full states that the agent of this boot sends. Until the last of them
   * is settled, those that were stored before stay stored.
   */
  clear(peerBootId: string): void {
    const received = this.at.peerBootId === peerBootId ? this.at.received : 0;
    this.at = { peerBootId, received };
    this.changed.clear();
    this.isCleared = true;
  }

  /** Writes the mirrors after the agent has sent full states, and how far these reach. */
  async settle(position: LinkPosition): Promise<void> {
    this.at = position;
    this.isUnstored = true;
    this.writer.flush();
    await this.writeChanges(this);
  }

  get hasChanges(): boolean {
    return this.isUnstored;
  }

  /** What differs, which then counts as stored; null for nothing. */
  takeChanges(): Changes | null {
    if (!this.isUnstored) return null;
    const mirrors = [...this.changed].map((address) => address.slice(this.address.length + 1));
    const { at, isCleared } = this;
    this.changed.clear();
    this.isUnstored = false;
    this.isCleared = false;
    return { position: at, mirrors, isCleared };
  }

  /** Of changes that could not be written. */
  giveBack({ mirrors, isCleared }: Changes): void {
    this.isUnstored = true;
    this.isCleared ||= isCleared;
    for (const own of mirrors) this.changed.add(`${this.address}/${own}`);
  }
}
