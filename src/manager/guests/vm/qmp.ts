import { EventEmitter } from 'node:events';
import type net from 'node:net';
import { z } from 'zod';
import { CocosError } from '../../../errors.ts';
import { connectUnix } from '../../../link/transport/unix.ts';

/** Longest line taken from QEMU; a longer one ends the connection. */
const LINE_LIMIT = 1024 * 1024;
const DEFAULT_TIMEOUT_MS = 5_000;
const LINE_FEED = 0x0a;

const Hello = z.looseObject({ QMP: z.looseObject({}) });
const Refusal = z.looseObject({
  error: z.looseObject({ class: z.string(), desc: z.string() }),
  id: z.number(),
});
const Return = z.looseObject({ return: z.unknown(), id: z.number() });
const Event = z.looseObject({ event: z.string(), data: z.record(z.string(), z.unknown()).default({}) });

export interface QmpEvent {
  readonly name: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** Runs single commands of QEMU's machine protocol. */
export interface QmpCommands {
  /** @throws CocosError as {@link QmpClient.connect} and {@link QmpClient.execute} do */
  execute(command: string, args: Readonly<Record<string, unknown>>, timeoutMs: number): Promise<unknown>;
}

/**
 * QEMU serves one client at a time, so a connection lasts for one command only. The next handle of a guest finds its
 * QMP free, and a QMP that is slow or held by another client delays that command alone.
 */
export function qmpCommands(path: string): QmpCommands {
  return {
    execute: async (command, args, timeoutMs) => {
      const deadline = performance.now() + timeoutMs;
      const client = await QmpClient.connect(path, timeoutMs);
      try {
        return await client.execute(command, args, deadline - performance.now());
      } finally {
        client.close();
      }
    },
  };
}

interface Pending {
  resolve(value: unknown): void;
  reject(error: CocosError): void;
}

/**
 * One connection to QEMU's machine protocol (QEMU docs/interop/qmp-spec.rst). Emits `event` with a
 * {@link QmpEvent} and `close` once. QEMU runs the guest, so what it sends is bounded and checked.
 */
export class QmpClient extends EventEmitter<{ event: [QmpEvent]; close: [] }> {
  readonly #socket: net.Socket;
  readonly #pending = new Map<number, Pending>();
  #buffer: Buffer[] = [];
  #buffered = 0;
  #nextId = 0;
  #onHello: (() => void) | null = null;
  #isClosed = false;

  private constructor(socket: net.Socket) {
    super();
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('error', () => this.close());
    socket.on('close', () => this.close());
  }

  /**
   * Connects, waits for QEMU's hello and leaves the negotiation mode.
   *
   * @throws CocosError VM_LAUNCH_FAILED when QEMU sends no hello within `timeoutMs`
   */
  static async connect(path: string, timeoutMs = DEFAULT_TIMEOUT_MS): Promise<QmpClient> {
    const deadline = performance.now() + timeoutMs;
    const socket = await connectUnix(path, timeoutMs);
    const client = new QmpClient(socket);
    try {
      await client.#handshake(deadline - performance.now());
      await client.execute('qmp_capabilities', {}, deadline - performance.now());
      return client;
    } catch (cause) {
      client.close();
      throw new CocosError('VM_LAUNCH_FAILED', `QEMU sent no QMP hello at ${path}.`, { cause });
    }
  }

  /**
   * Runs one command and gives its `return` value.
   *
   * @throws CocosError INTERNAL with QEMU's error class when it refuses, DEADLINE_EXCEEDED when it does
   * not answer in time, VM_EXITED when the connection ends
   */
  execute(
    command: string,
    args: Readonly<Record<string, unknown>> = {},
    timeoutMs = DEFAULT_TIMEOUT_MS,
  ): Promise<unknown> {
    if (this.#isClosed) return Promise.reject(ended());
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        clearTimeout(timer);
        this.#pending.delete(id);
      };
      const timer = setTimeout(() => {
        settle();
        reject(new CocosError('DEADLINE_EXCEEDED', `QEMU did not answer ${command} in ${timeoutMs} ms.`));
      }, timeoutMs);
      this.#pending.set(id, {
        resolve: (value) => {
          settle();
          resolve(value);
        },
        reject: (error) => {
          settle();
          reject(error);
        },
      });
      this.#socket.write(`${JSON.stringify({ execute: command, arguments: args, id })}\n`);
    });
  }

  /** Ends the connection; commands under way fail with VM_EXITED. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#socket.destroy();
    for (const pending of [...this.#pending.values()]) pending.reject(ended());
    this.emit('close');
  }

  #handshake(timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        clearTimeout(timer);
        this.off('close', closed);
      };
      const closed = (): void => {
        settle();
        reject(ended());
      };
      const timer = setTimeout(() => this.close(), timeoutMs);
      this.once('close', closed);
      this.#onHello = () => {
        settle();
        resolve();
      };
    });
  }

  #take(chunk: Buffer): void {
    let rest = chunk;
    for (let end = rest.indexOf(LINE_FEED); end !== -1; end = rest.indexOf(LINE_FEED)) {
      const line = Buffer.concat([...this.#buffer, rest.subarray(0, end)]);
      this.#buffer = [];
      this.#buffered = 0;
      rest = rest.subarray(end + 1);
      if (line.length > LINE_LIMIT || !this.#message(line.toString('utf8'))) return this.close();
    }
    this.#buffer.push(rest);
    this.#buffered += rest.length;
    if (this.#buffered > LINE_LIMIT) this.close();
  }

  /** Handles one line; false when it breaks the protocol. */
  #message(line: string): boolean {
    let message: unknown;
    try {
      message = JSON.parse(line);
    } catch {
      return false;
    }
    if (this.#onHello !== null && Hello.safeParse(message).success) {
      this.#onHello();
      this.#onHello = null;
      return true;
    }
    const event = Event.safeParse(message);
    if (event.success) {
      this.emit('event', { name: event.data.event, data: event.data.data });
      return true;
    }
    const refusal = Refusal.safeParse(message);
    if (refusal.success) {
      const { class: kind, desc } = refusal.data.error;
      const error = new CocosError('INTERNAL', `QEMU refused: ${desc}`, { details: { class: kind } });
      this.#pending.get(refusal.data.id)?.reject(error);
      return true;
    }
    const reply = Return.safeParse(message);
    if (!reply.success) return false;
    this.#pending.get(reply.data.id)?.resolve(reply.data.return);
    return true;
  }
}

function ended(): CocosError {
  return new CocosError('VM_EXITED', 'The connection to QEMU has ended.');
}
