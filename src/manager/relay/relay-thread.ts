import { access } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import { CocosError } from '../../errors.ts';
import { type Dial, PORTS, type Transport } from '../../link/transport/transport.ts';
import type { Log } from '../log.ts';
import type { GatewayPlace } from './gateway.ts';
import { openRelay, type Relay, type RelayPlace, relayPlace } from './relay.ts';
import type { RelayCommand, RelayEvent } from './relay-messages.ts';

/** How long after the thread's end another one is started. */
const RESTART_MS = 500;

/** A relay that listens, and is routed to its guest once there is one. */
export interface RoutedRelay extends Relay {
  /** From now on connections go to the participants' port of this guest. @throws CocosError HOST_PORT_TAKEN */
  route(transport: Transport): Promise<void>;
}

/** The outcome of a command to open. */
type Opening = Exclude<RelayEvent, { readonly type: 'done' }>;

interface Entry {
  /** Opens it in a thread that has just started. */
  command: () => RelayCommand;
  /** Ends the wait for it to be open for the first time. */
  settle: ((opening: Opening) => void) | null;
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
  /** Where the gateway finds each enclave. */
  private readonly enrolled = new Map<string, Dial>();
  /** Commands under way, each with the function that ends its wait. */
  private readonly commands: { readonly id: number; readonly done: () => void }[] = [];
  private worker: Worker | null = null;
  private restart: NodeJS.Timeout | null = null;
  private lastId = 0;

  /** @param program script that calls `serveRelays` */
  constructor(program: string, log: Log) {
    this.program = program;
    this.log = log;
  }

  /**
   * Opens the relay of an enclave.
   *
   * @throws CocosError HOST_PORT_TAKEN, CONFIG_INVALID, HOST_PROGRAM_MISSING
   */
  async open(at: RelayPlace, enclave: string): Promise<RoutedRelay> {
    let dial: Dial | null = null;
    let place = at;
    const { id, address } = await this.start((own) => ({ type: 'open', id: own, at: place, dial }));
    // Another thread must come back to the very same place.
    place = relayPlace('unix', 'unix' in at ? at.unix : '', address);
    let own: Relay | null = null;
    return {
      address,
      close: async () => {
        this.enroll(enclave, null);
        await this.close(id);
        await own?.close();
      },
      route: async (transport) => {
        dial = transport.dialOf?.(PORTS.participants) ?? null;
        if (dial !== null) {
          this.enroll(enclave, dial);
          return this.carryOut({ type: 'route', id, dial });
        }
        await this.close(id);
        // A guest that was detached and taken over is routed to again.
        await own?.close();
        own = await openRelay({ at: place, connect: () => transport.connect(PORTS.participants) });
        // The gateway reaches it through this one.
        if ('unix' in place) this.enroll(enclave, { unix: place.unix, vsockPort: null });
      },
    };
  }

  /**
   * Opens the gateway, through which participants reach every enclave that runs.
   *
   * @throws CocosError HOST_PORT_TAKEN, HOST_PROGRAM_MISSING
   */
  async serve(at: GatewayPlace): Promise<Relay> {
    let { port } = at;
    const { id, address } = await this.start((own) => ({ type: 'serve', id: own, at: { ...at, port } }));
    port = Number(/:(\d+)$/.exec(address)?.[1] ?? port);
    return { address, close: () => this.close(id) };
  }

  /** Ends the thread and every relay in it. */
  async stop(): Promise<void> {
    if (this.restart !== null) clearTimeout(this.restart);
    this.entries.clear();
    this.enrolled.clear();
    const { worker } = this;
    this.worker = null;
    await worker?.terminate();
  }

  private async start(command: (id: number) => RelayCommand): Promise<Extract<Opening, { type: 'opened' }>> {
    const id = ++this.lastId;
    const entry: Entry = { command: () => command(id), settle: null };
    this.entries.set(id, entry);
    const opened = await new Promise<Opening>((settle) => {
      entry.settle = settle;
      this.post(entry.command());
    });
    entry.settle = null;
    if (opened.type === 'opened') return opened;
    this.entries.delete(id);
    throw CocosError.fromJson(opened.cause);
  }

  private enroll(enclave: string, dial: Dial | null): void {
    if (dial === null) this.enrolled.delete(enclave);
    else this.enrolled.set(enclave, dial);
    // A thread that starts later gets them from `lost`.
    if (this.worker !== null) this.post({ type: 'enroll', enclave, dial });
  }

  private async close(id: number): Promise<void> {
    if (this.entries.delete(id)) await this.carryOut({ type: 'close', id });
  }

  /** Resolves when it was done, or there is no thread that could do it. */
  private carryOut(command: Extract<RelayCommand, { readonly type: 'route' | 'close' }>): Promise<void> {
    if (this.worker === null) return Promise.resolve();
    return new Promise((done) => {
      this.commands.push({ id: command.id, done });
      this.post(command);
    });
  }

  /** While no thread runs no command is needed: the next one opens every relay when it starts. */
  private post(command: RelayCommand): void {
    if (this.restart !== null) return;
    this.worker ??= this.startThread();
    this.worker.postMessage(command);
  }

  private startThread(): Worker {
    const worker = new Worker(this.program);
    let hasAnswered = false;
    worker.on('message', (event: RelayEvent) => {
      hasAnswered = true;
      this.receive(event);
    });
    worker.on('error', (error) => {
      this.log('error', 'the relay thread failed', { error: error.message });
      // One that cannot even start is not worth waiting for: another one would fail the same way.
      if (!hasAnswered) this.failOpenings();
    });
    worker.on('exit', () => this.lost(worker));
    return worker;
  }

  private failOpenings(): void {
    const { code, message } = new CocosError(
      'HOST_PROGRAM_MISSING',
      `The program of the relay thread, ${this.program}, could not be started: run npm run build.`,
    );
    for (const [id, { settle }] of this.entries) settle?.({ type: 'failed', id, cause: { code, message } });
  }

  private receive(event: RelayEvent): void {
    if (event.type === 'done') {
      const command = this.commands.find(({ id }) => id === event.id);
      if (command === undefined) return;
      this.commands.splice(this.commands.indexOf(command), 1);
      command.done();
      return;
    }
    const entry = this.entries.get(event.id);
    if (entry?.settle) entry.settle(event);
    else if (event.type === 'failed')
      this.log('error', 'a relay did not come back', { error: event.cause.message });
  }

  private lost(worker: Worker): void {
    for (const { done } of this.commands.splice(0)) done();
    if (this.worker !== worker) return;
    this.worker = null;
    this.restart = setTimeout(() => {
      this.restart = null;
      for (const [enclave, dial] of this.enrolled) this.post({ type: 'enroll', enclave, dial });
      for (const { command } of this.entries.values()) this.post(command());
    }, RESTART_MS);
  }
}

/** @throws CocosError HOST_PROGRAM_MISSING */
export async function checkRelayProgram(file: string): Promise<void> {
  await access(file).catch((cause: unknown) => {
    throw new CocosError(
      'HOST_PROGRAM_MISSING',
      `The program of the relay thread, ${file}, cannot be read: run npm run build.`,
      { cause },
    );
  });
}
