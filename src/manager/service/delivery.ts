import { CocosError } from '../../errors.ts';
import type { Outbox } from './outbox.ts';
import type { WaitingEvent } from './outbox-store.ts';

/**
 * Sends the outbox over one stream, from its beginning: whatever an earlier stream left unacknowledged goes again.
 * Events on their way are bounded in number and bytes, so that neither side's memory grows with the outbox.
 */

const PAGE = 64;
/** Events, and characters of their contexts, that may be on their way without an acknowledgement. */
const WINDOW_EVENTS = 1024;
const WINDOW_CHARACTERS = 4 * 1024 * 1024;

interface Sent {
  readonly sequence: number;
  readonly size: number;
}

export class Delivery {
  private readonly outbox: Outbox;
  private readonly send: (event: WaitingEvent) => Promise<void>;
  /** What is on its way, by computation, in order. */
  private readonly sent = new Map<string, Sent[]>();
  private events = 0;
  private characters = 0;
  private last: WaitingEvent | null = null;
  private readonly closing = new AbortController();
  private freed: () => void = () => undefined;

  constructor(outbox: Outbox, send: (event: WaitingEvent) => Promise<void>) {
    this.outbox = outbox;
    this.send = send;
  }

  /** Sends what the outbox holds now. @throws CocosError SERVICE_UNAVAILABLE, CANCELLED once it was closed */
  async replay(): Promise<void> {
    const { end } = this.outbox;
    while ((this.last?.position ?? 0) < end) {
      const page = this.outbox.unacknowledged(this.last, PAGE);
      if (page.length === 0) return;
      await this.sendAll(page);
    }
  }

  /** Sends what is added, until it is closed. @throws CocosError SERVICE_UNAVAILABLE, CANCELLED once it was closed */
  async follow(): Promise<void> {
    for (;;) {
      const page = this.outbox.unacknowledged(this.last, PAGE);
      if (page.length > 0) await this.sendAll(page);
      // In the same turn as the reading, so that no event falls between the two.
      else await this.outbox.changed(this.closing.signal);
    }
  }

  /** @throws CocosError SERVICE_PROTOCOL for an event that does not exist, OUTBOX_FAILED */
  async acknowledge(computationId: string, sequence: number): Promise<void> {
    const sent = this.sent.get(computationId) ?? [];
    while (sent[0] !== undefined && sent[0].sequence <= sequence) {
      this.events -= 1;
      this.characters -= sent[0].size;
      sent.shift();
    }
    if (sent.length === 0) this.sent.delete(computationId);
    this.freed();
    await this.outbox.acknowledge(computationId, sequence);
  }

  /** Ends what is under way. */
  close(): void {
    this.closing.abort();
    this.freed();
  }

  private async sendAll(page: readonly WaitingEvent[]): Promise<void> {
    for (const event of page) {
      await this.window();
      this.track(event);
      await this.send(event);
      this.last = event;
    }
  }

  private track({ computationId, sequence, event }: WaitingEvent): void {
    const size = event.contextJson.length;
    this.events += 1;
    this.characters += size;
    const sent = this.sent.get(computationId);
    if (sent === undefined) this.sent.set(computationId, [{ sequence, size }]);
    else sent.push({ sequence, size });
  }

  private async window(): Promise<void> {
    const isFull = () => this.events >= WINDOW_EVENTS || this.characters >= WINDOW_CHARACTERS;
    while (isFull() && !this.closing.signal.aborted) {
      await new Promise<void>((resolve) => {
        this.freed = resolve;
      });
    }
    if (this.closing.signal.aborted) throw new CocosError('CANCELLED', 'The stream has ended.');
  }
}
