import { setTimeout as sleep } from 'node:timers/promises';
import type { Fleet } from './fleet.ts';
import { streamFrames } from './world.ts';

/** Events handed over before the loop is let go on, as a busy socket would. */
const BATCH = 500;
/** Batches that may wait for their store. */
const IN_FLIGHT = 32;

interface Delivery {
  readonly enclave: number;
  readonly chunk: Buffer;
}

/** The events of all enclaves of a fleet, one enclave after the other, and when they reach the one watcher. */
export class Stream {
  private readonly fleet: Fleet;
  private readonly handedMs: number[] = [];
  private latenciesUs: number[] = [];
  private told = 0;
  private index = 0;
  private position = 0;
  private frame: Buffer = Buffer.alloc(0);

  constructor(fleet: Fleet) {
    this.fleet = fleet;
    fleet.directory.watch('', () => {
      this.told += 1;
      const handed = this.handedMs.shift();
      if (handed !== undefined) this.latenciesUs.push((performance.now() - handed) * 1000);
    });
  }

  /** Events per second when they come as fast as they are taken. */
  async flood(events: number): Promise<number> {
    const goal = this.told + events;
    const inFlight: Promise<void>[] = [];
    let spentMs = 0;
    for (let at = 0; at < events; at += BATCH) {
      // The peers' part is not counted.
      const deliveries = Array.from({ length: Math.min(BATCH, events - at) }, () => this.next());
      const begin = performance.now();
      for (const { enclave, chunk } of deliveries) this.fleet.take(enclave, chunk);
      inFlight.push(this.fleet.directory.settled());
      const last = at + BATCH >= events;
      while (inFlight.length >= (last ? 1 : IN_FLIGHT)) await inFlight.shift();
      spentMs += performance.now() - begin;
    }
    if (this.told !== goal) throw new Error(`the watcher missed ${goal - this.told} events`);
    return events / (spentMs / 1000);
  }

  /** Microseconds from the bytes of each event to the watcher, at a steady pace. */
  async pace(perMs: number, forMs: number): Promise<readonly number[]> {
    const begin = performance.now();
    const events = perMs * forMs;
    this.latenciesUs = [];
    for (let sent = 0; sent < events; ) {
      const due = Math.min((performance.now() - begin) * perMs, events);
      for (; sent < due; sent++) {
        const { enclave, chunk } = this.next();
        this.handedMs.push(performance.now());
        this.fleet.take(enclave, chunk);
      }
      await sleep(1);
    }
    await this.fleet.directory.settled();
    return this.latenciesUs;
  }

  private next(): Delivery {
    if (this.index === 0) {
      const [frame] = streamFrames(this.position, this.position + 1);
      if (frame === undefined) throw new Error('no frame was encoded');
      this.frame = frame;
      this.position += 1;
    }
    const enclave = this.index;
    this.index = (this.index + 1) % this.fleet.size;
    // Every enclave's bytes come in a buffer of their own.
    return { enclave, chunk: Buffer.from(this.frame) };
  }
}
