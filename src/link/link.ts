import type { Duplex } from 'node:stream';
import { type Actor, createActor, type InspectionEvent } from 'xstate';
import { CocosError } from '../errors.ts';
import {
  type LinkContext,
  type LinkEvent,
  type LinkRole,
  linkMachine,
  type WaitInput,
} from '../machines/link.machine.ts';
import { heldEffect } from '../runtime/effects.ts';
import { Commands } from './commands.ts';
import { LinkStream } from './link-stream.ts';
import { Journal } from './mirror/journal.ts';
import { encodeFrame, type Frame } from './wire/frame.ts';
import { type Hello, LINK_PROTOCOL } from './wire/hello.ts';

/** Options of one end of a link. */
export interface LinkOptions {
  readonly role: LinkRole;
  readonly bootId: string;
  /** Known to the manager; the agent learns it from the first hello. */
  readonly enclaveId: string | null;
  /** Opens the byte stream: dials, or waits for the peer's connection. Rejects if it cannot. */
  readonly open: (signal: AbortSignal) => Promise<Duplex>;
  /** Observes every transition of the link's machine. */
  readonly inspect?: ((inspected: InspectionEvent) => void) | undefined;
  /** A monotonic clock in milliseconds. */
  readonly now: () => number;
  /** The position that an earlier run of this side reached in the peer's journal. */
  readonly resume?: LinkPosition | null;
  /** Stores the position in the peer's journal. Frames are acknowledged only once this has resolved. */
  readonly commit?: (position: LinkPosition, taken: Taken) => Promise<void>;
  /** Back-pressure: null while frames can be accepted; otherwise the stream is paused until the promise resolves. */
  readonly whenWritable?: () => Promise<void> | null;
  readonly onHello?: (hello: Hello) => void;
  readonly onEvent?: (body: unknown) => void;
  /** Full state instead of events. `first` replaces everything mirrored before. */
  readonly onSnapshot?: (records: readonly unknown[], first: boolean) => void;
  /** Records of the full state, for a peer whose position the journal no longer covers. */
  readonly snapshot?: () => readonly unknown[];
  readonly onCommand?: (name: string, input: unknown) => Promise<unknown>;
  /** `lost` is also reported for a stream that ended during its handshake, before it was live. */
  readonly onState?: (state: 'live' | 'lost', reason: string | null) => void;
}

/** What advanced the position: the frame of an event, another message, or the end of a full state. */
export type Taken =
  | { readonly kind: 'event'; readonly frame: Uint8Array }
  | { readonly kind: 'message' }
  | { readonly kind: 'snapshot' };

/** Position in the journal of one boot of the peer. */
export interface LinkPosition {
  readonly peerBootId: string;
  readonly received: number;
}

export interface Link {
  /**
   * Sends an event now or after the next handshake. The journal keeps it until the peer acknowledges it.
   *
   * @throws CocosError LIMIT_EXCEEDED if it does not fit into a frame
   */
  publish(body: unknown): void;
  /**
   * Sends a command, which the peer applies at most once.
   *
   * @throws CocosError LINK_LOST, DEADLINE_EXCEEDED, LIMIT_EXCEEDED or the peer's error.
   */
  command(name: string, input: unknown, timeoutMs: number): Promise<unknown>;
  readonly isLive: boolean;
  readonly enclaveId: string | null;
  start(): void;
  close(): void;
}

type LinkActor = Actor<typeof linkMachine>;

class LinkEnd implements Link {
  private readonly options: LinkOptions;
  private readonly journal = new Journal();
  private readonly commands: Commands;
  private readonly actor: LinkActor;
  private stream: LinkStream | null = null;
  private opened: Duplex | null = null;
  private received: number;
  /** Last stored position: frames up to here may be acknowledged. */
  private durable: number;
  private peerBootId: string | null;
  private peer: Hello | null = null;

  constructor(options: LinkOptions) {
    this.options = options;
    this.received = options.resume?.received ?? 0;
    this.durable = this.received;
    this.peerBootId = options.resume?.peerBootId ?? null;
    this.commands = new Commands({
      run: options.onCommand,
      reply: (body) => this.append('reply', body),
    });
    const broken = ({ code, message }: CocosError) =>
      this.send({ type: 'stream.closed', reason: `${code}: ${message}`, atMs: options.now() });
    this.actor = createActor(
      linkMachine.provide({
        actors: {
          open: heldEffect<LinkContext>(
            () => this.open(),
            () => this.send({ type: 'stream.failed', atMs: options.now() }),
          ),
          serve: heldEffect<LinkContext>(() => this.serve(), broken),
          replay: heldEffect<LinkContext>(() => this.replay(), broken),
          wait: heldEffect<WaitInput>(({ delayMs }) => {
            const timer = setTimeout(() => this.send({ type: 'backoff.ended' }), delayMs);
            return () => clearTimeout(timer);
          }, broken),
        },
      }),
      {
        id: `link/${options.role}`,
        input: { role: options.role },
        ...(options.inspect === undefined ? {} : { inspect: options.inspect }),
      },
    );
    let before = { live: false, attached: false };
    this.actor.subscribe({
      next: (snapshot) => {
        const { live, attached } = before;
        before = { live: snapshot.matches({ attached: 'live' }), attached: snapshot.matches('attached') };
        if (before.live && !live) options.onState?.('live', null);
        else if (attached && !before.attached) options.onState?.('lost', snapshot.context.lostReason);
      },
      // A machine that throws must not end its process.
      error: (thrown) => options.onState?.('lost', CocosError.from(thrown).message),
    });
  }

  get isLive(): boolean {
    return this.actor.getSnapshot().matches({ attached: 'live' });
  }

  get enclaveId(): string | null {
    return this.options.enclaveId ?? this.peer?.enclaveId ?? null;
  }

  start(): void {
    this.actor.start();
  }

  close(): void {
    if (this.actor.getSnapshot().matches('closed')) return;
    this.send({ type: 'link.close' });
    this.actor.stop();
    this.commands.failAll(new CocosError('LINK_LOST', 'The link was closed.'));
  }

  publish(body: unknown): void {
    this.append('event', body);
  }

  command(name: string, input: unknown, timeoutMs: number): Promise<unknown> {
    return this.commands.call(name, input, timeoutMs, (body) => this.append('command', body));
  }

  private send(event: LinkEvent): void {
    this.actor.send(event);
  }

  private append(kind: 'event' | 'command' | 'reply', body: unknown): void {
    // A body that does not fit a frame must not enter the journal: it would break this stream and every later replay.
    encodeFrame({ kind, seq: this.journal.lastSeq + 1, ack: Number.MAX_SAFE_INTEGER, body });
    const entry = this.journal.append(kind, body);
    if (this.isLive) this.stream?.write({ ...entry, ack: this.durable });
  }

  private open(): () => void {
    const abort = new AbortController();
    this.options.open(abort.signal).then(
      (stream) => {
        if (abort.signal.aborted) return void stream.destroy();
        this.opened = stream;
        this.send({ type: 'stream.opened', atMs: this.options.now() });
      },
      () => {
        if (!abort.signal.aborted) this.send({ type: 'stream.failed', atMs: this.options.now() });
      },
    );
    return () => abort.abort();
  }

  private serve(): () => void {
    const duplex = this.opened;
    this.opened = null;
    if (duplex === null) throw new CocosError('INTERNAL', 'The link has no stream to serve.');
    const stream = new LinkStream(duplex, {
      hello: {
        protocol: LINK_PROTOCOL,
        role: this.options.role,
        enclaveId: this.options.enclaveId,
        bootId: this.options.bootId,
        peerBootId: this.peerBootId,
        received: this.received,
      },
      now: this.options.now,
      whenWritable: this.options.whenWritable ?? (() => null),
      ack: () => this.durable,
      awaitsHello: () => this.actor.getSnapshot().matches({ attached: 'handshake' }),
      onHello: (hello) => this.handshake(hello),
      onAck: (seq) => this.journal.acknowledge(seq),
      onSequenced: (frame, bytes) => this.take(frame, bytes),
      onSnapshot: (seq, body) => {
        this.options.onSnapshot?.(body.records, body.first);
        if (body.last) this.advance(seq, { kind: 'snapshot' });
      },
      onClosed: (reason) => this.send({ type: 'stream.closed', reason, atMs: this.options.now() }),
      onSilent: () => this.send({ type: 'peer.silent' }),
      onViolation: (error) => this.send({ type: 'peer.violated', reason: `${error.code}: ${error.message}` }),
    });
    this.stream = stream;
    return () => {
      if (this.stream === stream) this.stream = null;
      stream.destroy();
    };
  }

  private handshake(hello: Hello): void {
    if (hello.role === this.options.role)
      throw new CocosError('LINK_PROTOCOL', `Both ends of the link have the role '${hello.role}'.`);
    if (hello.bootId !== this.peerBootId) {
      this.received = 0;
      this.durable = 0;
    }
    this.peerBootId = hello.bootId;
    this.peer = hello;
    this.options.onHello?.(hello);
    this.send({ type: 'hello.received', bootId: hello.bootId, atMs: this.options.now() });
  }

  private replay(): undefined {
    const { stream, peer } = this;
    if (stream === null || peer === null)
      throw new CocosError('INTERNAL', 'The link has no peer to replay to.');
    const known = peer.peerBootId === this.options.bootId ? peer.received : 0;
    const entries = this.journal.after(known);
    if (entries !== null) {
      for (const entry of entries) stream.write({ ...entry, ack: this.durable });
    } else {
      this.replaySnapshot(stream);
    }
    const replayed = this.journal.lastSeq;
    // Deferred, since the machine is still entering the state that invokes this effect.
    queueMicrotask(() => {
      // Frames that arrived together with the hello may have published more.
      for (const entry of this.journal.after(replayed) ?? []) stream.write({ ...entry, ack: this.durable });
      this.send({ type: 'replay.finished', atMs: this.options.now() });
    });
    return undefined;
  }

  private replaySnapshot(stream: LinkStream): void {
    const records = this.options.snapshot?.() ?? [];
    const seq = this.journal.lastSeq;
    this.journal.acknowledge(seq);
    if (records.length === 0) {
      stream.write({
        kind: 'snapshot',
        seq,
        ack: this.durable,
        body: { first: true, last: true, records: [] },
      });
    }
    records.forEach((record, index) => {
      const body = { first: index === 0, last: index === records.length - 1, records: [record] };
      stream.write({ kind: 'snapshot', seq, ack: this.durable, body });
    });
  }

  private take({ kind, seq, body }: Frame, frame: Uint8Array): void {
    if (seq <= this.received) return;
    if (seq !== this.received + 1) {
      throw new CocosError('LINK_PROTOCOL', `Expected frame ${this.received + 1}; frame ${seq} arrived.`);
    }
    if (kind === 'event') this.options.onEvent?.(body);
    else if (kind === 'command') this.commands.accept(body);
    else this.commands.settle(body);
    this.advance(seq, kind === 'event' ? { kind, frame } : { kind: 'message' });
  }

  private advance(seq: number, taken: Taken): void {
    this.received = seq;
    const { commit } = this.options;
    const { peerBootId } = this;
    if (commit === undefined || peerBootId === null) {
      this.durable = seq;
      return;
    }
    commit({ peerBootId, received: seq }, taken).then(
      () => {
        if (this.peerBootId === peerBootId) this.durable = Math.max(this.durable, seq);
      },
      // A position that could not be stored is not acknowledged, so the peer sends its frames again.
      () => undefined,
    );
  }
}

/** One end of the manager-agent link. Once started it connects, replays and reconnects by itself. */
export function createLink(options: LinkOptions): Link {
  return new LinkEnd(options);
}
