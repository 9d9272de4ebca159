import type { Duplex } from 'node:stream';
import type { z } from 'zod';
import { CocosError } from '../errors.ts';
import { HEARTBEAT_MS, SILENCE_LIMIT_MS } from '../machines/link.machine.ts';
import { TimeShare } from '../runtime/time-share.ts';
import { decodeFrame, encodeFrame, type Frame, LengthPrefixReader } from './wire/frame.ts';
import { Hello, LINK_PROTOCOL, SnapshotBody } from './wire/hello.ts';

/** Acknowledge after at most this many frames, or this long after the first of them. */
const ACK_FRAMES = 32;
const ACK_DELAY_MS = 50;
/** Writes accumulate if the peer does not read. Beyond this many bytes the stream is closed. */
const WRITE_BUFFER_LIMIT = 16 * 1024 * 1024;

interface LinkStreamHandlers {
  readonly hello: Hello;
  readonly now: () => number;
  /** Null while frames can be accepted; otherwise resolves when they can. */
  readonly whenWritable: () => Promise<void> | null;
  readonly ack: () => number;
  /** Whether the handshake is still to come. */
  readonly awaitsHello: () => boolean;
  readonly onHello: (hello: Hello) => void;
  readonly onAck: (seq: number) => void;
  readonly onSequenced: (frame: Frame, bytes: Uint8Array) => void;
  readonly onSnapshot: (seq: number, body: z.infer<typeof SnapshotBody>) => void;
  readonly onClosed: (reason: string) => void;
  readonly onSilent: () => void;
  readonly onViolation: (error: CocosError) => void;
}

/** Frames over one byte stream: handshake, acknowledgements, heartbeats, and an end with a reason. */
export class LinkStream {
  private readonly duplex: Duplex;
  private readonly handlers: LinkStreamHandlers;
  private readonly reader = new LengthPrefixReader();
  private readonly share: TimeShare;
  private readonly heartbeat: NodeJS.Timeout;
  private ackTimer: NodeJS.Timeout | null = null;
  private unacknowledged = 0;
  private lastReceivedMs: number;
  private lastSentMs: number;
  private ended = false;

  constructor(duplex: Duplex, handlers: LinkStreamHandlers) {
    this.duplex = duplex;
    this.handlers = handlers;
    this.lastReceivedMs = handlers.now();
    this.lastSentMs = this.lastReceivedMs;
    this.share = new TimeShare(this.lastReceivedMs);
    duplex.on('data', (chunk: Buffer) => this.read(chunk));
    duplex.on('error', (error) => this.end(() => handlers.onClosed(error.message)));
    duplex.on('close', () => this.end(() => handlers.onClosed('the stream was closed')));
    duplex.on('end', () => this.end(() => handlers.onClosed('the peer ended the stream')));
    this.heartbeat = setInterval(() => this.beat(), HEARTBEAT_MS / 4);
    this.write({ kind: 'hello', seq: 0, ack: 0, body: handlers.hello });
  }

  write(frame: Frame): void {
    if (this.ended) return;
    this.duplex.write(encodeFrame(frame));
    this.lastSentMs = this.handlers.now();
    if (frame.kind !== 'hello') this.clearAck();
    if (this.duplex.writableLength > WRITE_BUFFER_LIMIT) {
      this.end(() => this.handlers.onClosed('the peer does not read'));
    }
  }

  destroy(): void {
    this.end(() => undefined);
  }

  private end(report: () => void): void {
    if (this.ended) return;
    this.ended = true;
    clearInterval(this.heartbeat);
    this.clearAck();
    this.duplex.destroy();
    report();
  }

  private read(chunk: Buffer): void {
    const { now } = this.handlers;
    const begin = now();
    this.lastReceivedMs = begin;
    try {
      for (const message of this.reader.push(chunk)) {
        if (this.ended) return;
        this.take(decodeFrame(message), message);
      }
      const end = now();
      this.pause(this.share.charge(end - begin, end), this.handlers.whenWritable());
    } catch (thrown) {
      const error = CocosError.from(thrown, 'LINK_PROTOCOL');
      this.end(() => this.handlers.onViolation(error));
    }
  }

  /** Reads no more for a time, and not before frames can be accepted. */
  private pause(forMs: number, writable: Promise<void> | null): void {
    if ((forMs === 0 && writable === null) || this.ended) return;
    this.duplex.pause();
    const rested = new Promise((resolve) => setTimeout(resolve, forMs));
    void Promise.all([rested, writable]).then(() => {
      // Nothing was read meanwhile, so the silence is not the peer's.
      this.lastReceivedMs = this.handlers.now();
      this.duplex.resume();
    });
  }

  private take(frame: Frame, bytes: Uint8Array): void {
    if (this.handlers.awaitsHello()) {
      const hello = Hello.safeParse(frame.body);
      if (frame.kind !== 'hello' || !hello.success)
        throw new CocosError('LINK_PROTOCOL', 'The first frame of the peer is not a hello.');
      if (hello.data.protocol !== LINK_PROTOCOL) {
        throw new CocosError(
          'LINK_PROTOCOL',
          `The peer speaks link protocol ${hello.data.protocol}; this end speaks ${LINK_PROTOCOL}.`,
        );
      }
      return this.handlers.onHello(hello.data);
    }
    this.handlers.onAck(frame.ack);
    switch (frame.kind) {
      case 'hello':
        throw new CocosError('LINK_PROTOCOL', 'The peer sent a second hello on one stream.');
      case 'event':
      case 'command':
      case 'reply':
        this.handlers.onSequenced(frame, bytes);
        return this.scheduleAck();
      case 'snapshot': {
        const body = SnapshotBody.safeParse(frame.body);
        if (!body.success) throw new CocosError('LINK_PROTOCOL', 'The peer sent a malformed snapshot.');
        this.handlers.onSnapshot(frame.seq, body.data);
        return this.scheduleAck();
      }
      case 'ack':
      case 'ping':
        return;
    }
  }

  private scheduleAck(): void {
    this.unacknowledged += 1;
    if (this.unacknowledged >= ACK_FRAMES) return this.writeAck();
    this.ackTimer ??= setTimeout(() => this.writeAck(), ACK_DELAY_MS);
  }

  private writeAck(): void {
    this.write({ kind: 'ack', seq: 0, ack: this.handlers.ack(), body: null });
  }

  private clearAck(): void {
    this.unacknowledged = 0;
    if (this.ackTimer !== null) clearTimeout(this.ackTimer);
    this.ackTimer = null;
  }

  private beat(): void {
    const now = this.handlers.now();
    if (!this.duplex.isPaused() && now - this.lastReceivedMs > SILENCE_LIMIT_MS)
      return this.end(() => this.handlers.onSilent());
    if (now - this.lastSentMs >= HEARTBEAT_MS)
      this.write({ kind: 'ping', seq: 0, ack: this.handlers.ack(), body: null });
  }
}
