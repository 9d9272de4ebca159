import type { Duplex } from 'node:stream';

/** Simultaneous connections; a relay carries as many. */
const CONNECTION_LIMIT = 64;
/** A connection without a session is closed after this long. A participant that verifies for longer connects again. */
const SESSION_WAIT_MS = 120_000;

/** What a connection has achieved, in the order in which the table keeps connections. */
const STAGES = ['silent', 'answered', 'session'] as const;
export type Stage = (typeof STAGES)[number];

/** A connection of an unknown peer, until it uses a session. */
export interface Connection {
  readonly stage: Stage;
  /** Records progress: a request was answered, or a session was opened or used. */
  reach(stage: Stage): void;
}

interface Entry extends Connection {
  stage: Stage;
}

/**
 * The connections of the participants' port. When it is full, a new connection displaces the oldest of those that
 * achieved least, never one with a session: neither silent connections nor unfinished requests lock anyone out.
 */
export class Connections {
  /** In the order of their arrival. */
  private readonly open = new Map<Duplex, Entry>();

  /** Null if every connection has a session; the stream is then closed. */
  admit(stream: Duplex): Connection | null {
    if (this.open.size >= CONNECTION_LIMIT && !this.displace()) {
      stream.destroy();
      return null;
    }
    const timer = setTimeout(() => stream.destroy(), SESSION_WAIT_MS).unref();
    const entry: Entry = {
      stage: 'silent',
      reach: (stage) => {
        if (STAGES.indexOf(stage) > STAGES.indexOf(entry.stage)) entry.stage = stage;
        if (entry.stage === 'session') clearTimeout(timer);
      },
    };
    this.open.set(stream, entry);
    stream.once('close', () => {
      clearTimeout(timer);
      this.open.delete(stream);
    });
    return entry;
  }

  private displace(): boolean {
    for (const stage of ['silent', 'answered']) {
      for (const [stream, entry] of this.open) {
        if (entry.stage !== stage) continue;
        // The stream reports its end later; its place is free now.
        this.open.delete(stream);
        stream.destroy();
        return true;
      }
    }
    return false;
  }
}
