import type net from 'node:net';

/** From here on a relay is full while it serves several peers: what its agent carries as well. */
const SHARED_LIMIT = 64;
/** What a relay carries at most. */
const CONNECTION_LIMIT = 128;

interface Entry {
  readonly socket: net.Socket;
  readonly peer: string;
  /** Counts up with each piece that any connection carries; the lowest number has been idle for longest. */
  lastMoved: number;
}

/** A connection that was taken. */
interface Admission {
  /** Records that it carries bytes. */
  moved(): void;
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

  /**
   * Takes a new connection, and ends another one if there are too many.
   */
  admit(socket: net.Socket): Admission {
    const entry: Entry = { socket, peer: socket.remoteAddress ?? '', lastMoved: this.moves };
    this.open.add(entry);
    const counts = this.countPeers();
    if (this.open.size > (counts.size > 1 ? SHARED_LIMIT : CONNECTION_LIMIT)) this.displace(counts, entry);
    socket.once('close', () => this.open.delete(entry));
    return {
      moved: () => {
        entry.lastMoved = ++this.moves;
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
    const silent = candidates.filter(({ socket }) => socket.bytesWritten === 0);
    const [first, ...others] = silent.length > 0 ? silent : candidates;
    if (first === undefined) return;
    const victim = others.reduce((idle, entry) => (entry.lastMoved < idle.lastMoved ? entry : idle), first);
    // The socket reports its end later; its place is free now.
    this.open.delete(victim);
    victim.socket.destroy();
  }
}
