import { Tail } from './tail.ts';

/**
 * Output of an algorithm as bounded lines: each at most 8 KiB and without control characters; the first 8,000 as they
 * come, and the last 1,000 of each stream at the end.
 */

export type LogStream = 'stdout' | 'stderr';

export const MAX_LINE_BYTES = 8 * 1024;
const HEAD_LINES = 8_000;
const TAIL_LINES = 1_000;
const TAIL_LENGTH = 2 * 1024 * 1024;

const NEWLINE = 10;

interface Pending {
  readonly bytes: Uint8Array;
  filled: number;
  /** Bytes that were cut from this line. */
  cut: number;
}

export class LogLines {
  readonly #onLine: (stream: LogStream, line: string) => void;
  readonly #pending: Readonly<Record<LogStream, Pending>> = { stdout: newPending(), stderr: newPending() };
  #lines = 0;
  /** Lines after the head. */
  readonly #tails: Readonly<Record<LogStream, Tail<string>>> = { stdout: newTail(), stderr: newTail() };

  constructor(onLine: (stream: LogStream, line: string) => void) {
    this.#onLine = onLine;
  }

  write(stream: LogStream, chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length; ) {
      const newline = chunk.indexOf(NEWLINE, at);
      const end = newline < 0 ? chunk.length : newline;
      this.#append(this.#pending[stream], chunk.subarray(at, end));
      if (newline < 0) return;
      this.#emit(stream);
      at = newline + 1;
    }
  }

  /** Emits the last line without a newline, and the tails with the number of the lines between. */
  end(): void {
    for (const stream of ['stdout', 'stderr'] as const) {
      const { filled, cut } = this.#pending[stream];
      if (filled + cut > 0) this.#emit(stream);
    }
    for (const stream of ['stdout', 'stderr'] as const) {
      const tail = this.#tails[stream];
      if (tail.dropped > 0) this.#onLine(stream, `[${tail.dropped} lines are left out here]`);
      for (const line of tail.items()) this.#onLine(stream, line);
    }
  }

  #append(pending: Pending, bytes: Uint8Array): void {
    const taken = bytes.subarray(0, MAX_LINE_BYTES - pending.filled);
    pending.bytes.set(taken, pending.filled);
    pending.filled += taken.length;
    pending.cut += bytes.length - taken.length;
  }

  #emit(stream: LogStream): void {
    const pending = this.#pending[stream];
    this.#lines += 1;
    const text = new TextDecoder().decode(pending.bytes.subarray(0, pending.filled)).replace(/\r$/, '');
    // Lines are shown on terminals, which would execute escape sequences.
    const plain = text.replace(/(?!\t)\p{Cc}/gu, '\uFFFD');
    const line = pending.cut > 0 ? `${plain} [${pending.cut} more bytes were cut]` : plain;
    if (this.#lines <= HEAD_LINES) this.#onLine(stream, line);
    else this.#tails[stream].add(line, line.length);
    pending.filled = 0;
    pending.cut = 0;
  }
}

function newTail(): Tail<string> {
  return new Tail(TAIL_LINES, TAIL_LENGTH);
}

function newPending(): Pending {
  return { bytes: new Uint8Array(MAX_LINE_BYTES), filled: 0, cut: 0 };
}
