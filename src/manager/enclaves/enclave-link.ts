import type { Duplex } from 'node:stream';
import { CocosError } from '../../errors.ts';
import { createLink, type Link } from '../../link/link.ts';
import { StreamHandoff } from '../../link/transport/stream-handoff.ts';
import type { EnclaveEvent } from '../../machines/enclave.events.ts';
import { systemClock } from '../../runtime/clock.ts';
import type { Trace } from '../../runtime/trace.ts';
import type { JournalReceiver } from './journal-receiver.ts';

interface EnclaveLinkOptions {
  readonly id: string;
  readonly bootId: string;
  readonly receiver: JournalReceiver;
  readonly trace: Trace | undefined;
  /** Null while more of the agent's journal may be received. */
  readonly whenWritable: () => Promise<void> | null;
  readonly send: (event: EnclaveEvent) => void;
  readonly log: (message: string, fields?: Record<string, unknown>) => void;
}

/** The manager's end of the link to the agent of one enclave, over the streams that its guest opens. */
export class EnclaveLink {
  private readonly options: EnclaveLinkOptions;
  private readonly incoming = new StreamHandoff<Duplex>();
  private link: Link | null = null;
  private agentBootId = '';

  constructor(options: EnclaveLinkOptions) {
    this.options = options;
  }

  /** Takes a stream that the guest has opened. */
  give(stream: Duplex): void {
    this.incoming.give(stream);
  }

  get isLive(): boolean {
    return this.link?.isLive ?? false;
  }

  /** @returns what closes the link. */
  start(): () => void {
    const { id, bootId, receiver, trace, whenWritable, send, log } = this.options;
    const link = createLink({
      whenWritable,
      resume: receiver.resume,
      commit: (position, taken) => receiver.commit(position, taken),
      role: 'manager',
      bootId,
      enclaveId: id,
      inspect: trace,
      open: async (signal) => {
        // Each new link is an event too.
        await whenWritable();
        signal.throwIfAborted();
        return this.incoming.take(signal);
      },
      now: systemClock.monotonic,
      onEvent: (body) => receiver.receiveEvent(body),
      onSnapshot: (records, first) => receiver.receiveSnapshot(records, first, this.agentBootId),
      onHello: (hello) => {
        this.agentBootId = hello.bootId;
      },
      onState: (state, reason) => {
        if (state === 'live') send({ type: 'link.live', bootId: this.agentBootId });
        else send({ type: 'link.lost', atMs: systemClock.monotonic() });
        if (reason !== null) log('link', { state, reason });
      },
    });
    this.link = link;
    link.start();
    return () => link.close();
  }

  /** A command to the agent. @throws CocosError LINK_LOST when there is no link, or the agent's own error. */
  command(name: string, input: unknown, timeoutMs: number): Promise<unknown> {
    if (this.link === null) return Promise.reject(new CocosError('LINK_LOST', 'The enclave has no link.'));
    return this.link.command(name, input, timeoutMs);
  }

  /** Another one may be started afterwards. */
  stop(): void {
    this.link?.close();
    this.link = null;
  }

  /** Stops, and takes no stream any more. */
  close(): void {
    this.stop();
    this.incoming.close();
  }
}
