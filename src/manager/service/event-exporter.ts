import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { CocosError } from '../../errors.ts';
import type { Transition } from '../../link/mirror/mirror.ts';
import { VERSION } from '../../version.ts';
import type { ServiceConfig } from '../config.ts';
import { publicContext } from '../control/directory.ts';
import type { Log } from '../log.ts';
import type { JoinedWrite } from '../store/joined-write.ts';
import type { Store } from '../store/store.ts';
import { IdempotencyStore } from './idempotency-store.ts';
import { Outbox } from './outbox.ts';
import type { RunHandlers } from './run-requests.ts';
import { ServiceClient, type ServiceClientOptions } from './service-client.ts';

/** The manager's side of its computation management service: the outbox, the idempotency of runs, and the stream. */
export class EventExporter {
  private readonly config: ServiceConfig;
  private readonly managerId: string;
  private readonly outbox: Outbox;
  private readonly idempotency: IdempotencyStore;
  private readonly log: Log;
  private readonly closing = new AbortController();
  private client: ServiceClient | null = null;

  static async open(config: ServiceConfig, store: Store, log: Log): Promise<EventExporter> {
    const outbox = await Outbox.open(store.database, config.outboxLimit, config.outboxBytes);
    return new EventExporter(
      config,
      await managerIdOf(store),
      outbox,
      new IdempotencyStore(store.database),
      log,
    );
  }

  private constructor(
    config: ServiceConfig,
    managerId: string,
    outbox: Outbox,
    idempotency: IdempotencyStore,
    log: Log,
  ) {
    this.config = config;
    this.managerId = managerId;
    this.outbox = outbox;
    this.idempotency = idempotency;
    this.log = log;
  }

  /** Connects, and goes on to connect until it is stopped. */
  start(handlers: RunHandlers, watching: Pick<ServiceClientOptions, 'inspect' | 'onFailure'>): void {
    if (this.closing.signal.aborted) return;
    this.client = new ServiceClient({
      ...handlers,
      address: this.config.address,
      tls: this.config.tls,
      managerId: this.managerId,
      managerVersion: VERSION,
      outbox: this.outbox,
      idempotency: this.idempotency,
      onRemovalFailure: ({ code, message }) =>
        this.log('error', 'an ended enclave could not be removed', { code, reason: message }),
      ...watching,
    });
    this.client.start();
  }

  /** Ends the stream in order; what was not acknowledged stays in the outbox for the next run of the manager. */
  async stop(): Promise<void> {
    this.closing.abort();
    await this.client?.stop();
  }

  /** A transition for the outbox, to be written in the transaction that stores it. */
  record(computationId: string, transition: Transition): JoinedWrite {
    const { address, event, from, to, after, atMs } = transition;
    const contextJson = JSON.stringify(publicContext(after.context));
    const joined = this.outbox.join(computationId, { atMs, address, event, from, to, contextJson });
    joined.appended.catch((thrown: unknown) => {
      const { code, message } = CocosError.from(thrown);
      this.log('error', 'an event could not be put into the outbox and is lost to the management service', {
        ...{ address, event, code, reason: message },
      });
    });
    return joined;
  }

  /** Null while the outbox has room for a computation; otherwise resolves when it has again, or nothing is sent any more. */
  whenWritable(computationId: string): Promise<void> | null {
    if (!this.outbox.isFullFor(computationId)) return null;
    return this.outbox.whenWritable(computationId, this.closing.signal).catch(() => undefined);
  }
}

/** The same for as long as the store is kept. */
async function managerIdOf(store: Store): Promise<string> {
  const key = 'manager-id';
  for (const loaded of store.load(key)) {
    const known = 'error' in loaded ? null : z.uuid().safeParse(loaded.value);
    if (known?.success) return known.data;
  }
  const made = randomUUID();
  await store.put(key, key, 1, made);
  return made;
}
