import type net from 'node:net';

/** How many connections there may be. */
export interface PeerLimits {
  /** While they are of several peers. */
  readonly shared: number;
  /** While they are all of one. */
  readonly single: number;
}

/** While a relay serves several peers, it carries as many as its agent does. */
export const RELAY_LIMITS: PeerLimits = { shared: 64, single: 128 };

interface Entry {
  readonly socket: net.Socket;
  readonly peer: string;
  isAnswered: boolean;
  /** Counts up with each piece that any connection carries; the lowest number has been idle for longest. */
  lastMoved: number;
}

/** A connection that was taken. */
export interface Admission {
  /** Records that it carries bytes to the guest. */
  sent(): void;
  /** Records that it carries bytes of the guest. */
  answered(): void;
  /** It counts elsewhere from now on. */
  leave(): void;
}

/**
 * The connections of one relay, by the address of the peer. Nobody locks anyone out: a full relay ends a connection of
 * the peer that has most of them. The relay cannot see sessions, but the agent can, which has a limit of its own: while
 * all connections are of one peer, the agent chooses first.
 */
export class PeerConnections {
  /** In the order of their arrival. */
  private readonly open = new Set<Entry>();
  private moves = 0;
  private readonly limits: PeerLimits;

  constructor(limits: PeerLimits) {
    this.limits = limits;
  }

  /**
   * Takes a new connection, and ends another one if there are too many.
   */
  admit(socket: net.Socket): Admission {
    const peer = socket.remoteAddress ?? '';
    const entry: Entry = { socket, peer, isAnswered: false, lastMoved: this.moves };
    this.open.add(entry);
    const counts = this.countPeers();
    const { shared, single } = this.limits;
    if (this.open.size > (counts.size > 1 ? shared : single)) this.displace(counts, entry);
    socket.once('close', () => this.open.delete(entry));
    return {
      sent: () => {
        entry.lastMoved = ++this.moves;
      },
      answered: () => {
        entry.lastMoved = ++this.moves;
        entry.isAnswered = true;
      },
      leave: () => void this.open.delete(entry),
    };
  }

  get size(): number {
    return this.open.size;
  }

  closeAll(): void {
    for (const { socket } of this.open) socket.destroy();
  }

  private countPeers(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const { peer } of this.open) counts.set(peer, (counts.get(peer) ?? 0) + 1);
    return counts;
  }

  /** Ends a connection of the peer that has most: one that its guest never answered, else the one idle for longest. */
  private displace(counts: ReadonlyMap<string, number>, newcomer: Entry): void {
    const most = Math.max(...counts.values());
    const candidates = [...this.open].filter(
      (entry) => entry !== newcomer && counts.get(entry.peer) === most,
    );
    const silent = candidates.filter(({ isAnswered }) => !isAnswered);
    const [first, ...others] = silent.length > 0 ? silent : candidates;
    if (first === undefined) return;
    const victim = others.reduce((idle, entry) => (entry.lastMoved < idle.lastMoved ? entry : idle), first);
    // The socket reports its end later; its place is free now.
    this.open.delete(victim);
    victim.socket.destroy();
  }
}
