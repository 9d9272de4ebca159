import { Worker } from 'node:worker_threads';
import { CocosError } from '../../errors.ts';
import { type Dial, PORTS, type Transport } from '../../link/transport/transport.ts';
import type { Log } from '../log.ts';
import { openRelay, type Relay, type RelayPlace, relayPlace } from './relay.ts';
import type { RelayCommand, RelayEvent } from './relay-messages.ts';

/** How long after the thread's end another one is started. */
const RESTART_MS = 500;

/** A relay that listens, and is told of its guest when there is one. */
export interface RoutedRelay extends Relay {
  /** From now on connections go to the participants' port of this guest. @throws CocosError HOST_PORT_TAKEN */
  route(transport: Transport): Promise<void>;
}

/** What comes of an order to open. */
type Opening = Exclude<RelayEvent, { readonly type: 'done' }>;

interface Entry {
  at: RelayPlace;
  dial: Dial | null;
  /** Whoever waits for it to be open for the first time. */
  settle: ((news: Opening) => void) | null;
}

/**
 * The relays of all enclaves, in a thread of their own: gigabytes of participants hold up no machine and no link, and
 * its small heap makes collecting what they leave behind cheap. When the thread dies, another one takes the places of
 * its relays; connections that they carried are broken, as by any fault of the network.
 */
export class RelayThread {
  private readonly program: string;
  private readonly log: Log;
  private readonly entries = new Map<number, Entry>();
  /** Orders under way, each with who waits for it. */
  private readonly orders: { readonly id: number; readonly done: () => void }[] = [];
  private worker: Worker | null = null;
  private restart: NodeJS.Timeout | null = null;
  private lastId = 0;

  /** @param program script that calls `serveRelays` */
  constructor(program: string, log: Log) {
    this.program = program;
    this.log = log;
  }

  /** @throws CocosError HOST_PORT_TAKEN, CONFIG_INVALID */
  async open(at: RelayPlace): Promise<RoutedRelay> {
    const id = ++this.lastId;
    const entry: Entry = { at, dial: null, settle: null };
    this.entries.set(id, entry);
    const news = await new Promise<Opening>((settle) => {
      entry.settle = settle;
      this.tell({ type: 'open', id, at, dial: null });
    });
    entry.settle = null;
    if (news.type === 'failed') {
      this.entries.delete(id);
      throw new CocosError(news.cause.code, news.cause.message);
    }
    // Another thread must come back to the very same place.
    entry.at = relayPlace('unix', 'unix' in at ? at.unix : '', news.address);
    let own: Relay | null = null;
    return {
      address: news.address,
      close: async () => {
        await this.close(id);
        await own?.close();
      },
      route: async (transport) => {
        entry.dial = transport.dialOf?.(PORTS.participants) ?? null;
        if (entry.dial !== null) return this.carryOut({ type: 'route', id, dial: entry.dial });
        await this.close(id);
        // A guest that was detached and taken over is routed to again.
        await own?.close();
        own = await openRelay({ at: entry.at, connect: () => transport.connect(PORTS.participants) });
      },
    };
  }

  /** Ends the thread and every relay in it. */
  async stop(): Promise<void> {
    if (this.restart !== null) clearTimeout(this.restart);
    this.entries.clear();
    const { worker } = this;
    this.worker = null;
    await worker?.terminate();
  }

  private async close(id: number): Promise<void> {
    if (this.entries.delete(id)) await this.carryOut({ type: 'close', id });
  }

  /** Resolves when it was done, or there is no thread that could do it. */
  private carryOut(order: Exclude<RelayCommand, { readonly type: 'open' }>): Promise<void> {
    if (this.worker === null) return Promise.resolve();
    return new Promise((done) => {
      this.orders.push({ id: order.id, done });
      this.tell(order);
    });
  }

  /** While no thread runs nobody needs to be told: the next one hears of every relay when it starts. */
  private tell(order: RelayCommand): void {
    if (this.restart !== null) return;
    this.worker ??= this.start();
    this.worker.postMessage(order);
  }

  private start(): Worker {
    const worker = new Worker(this.program);
    worker.on('message', (news: RelayEvent) => this.hear(news));
    worker.on('error', (error) => this.log('error', 'the relay thread failed', { error: error.message }));
    worker.on('exit', () => this.lost(worker));
    return worker;
  }

  private hear(news: RelayEvent): void {
    if (news.type === 'done') {
      const order = this.orders.find(({ id }) => id === news.id);
      if (order === undefined) return;
      this.orders.splice(this.orders.indexOf(order), 1);
      order.done();
      return;
    }
    const entry = this.entries.get(news.id);
    if (entry?.settle) entry.settle(news);
    else if (news.type === 'failed')
      this.log('error', 'a relay did not come back', { error: news.cause.message });
  }

  private lost(worker: Worker): void {
    for (const { done } of this.orders.splice(0)) done();
    if (this.worker !== worker) return;
    this.worker = null;
    this.restart = setTimeout(() => {
      this.restart = null;
      for (const [id, { at, dial }] of this.entries) this.tell({ type: 'open', id, at, dial });
    }, RESTART_MS);
  }
}
