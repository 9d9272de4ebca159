/** Output of an algorithm as bounded lines: each at most 8 KiB, at most 10,000 in all, no control characters. */

export type LogStream = 'stdout' | 'stderr';

export const MAX_LINE_BYTES = 8 * 1024;
export const MAX_LINES = 10_000;

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

  constructor(onLine: (stream: LogStream, line: string) => void) {
    this.#onLine = onLine;
  }

  /** Lines dropped after the limit was reached. */
  get dropped(): number {
    return Math.max(0, this.#lines - MAX_LINES);
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

  /** Emits the last line without a newline and, if lines were dropped, their number. */
  end(): void {
    for (const stream of ['stdout', 'stderr'] as const) {
      const { filled, cut } = this.#pending[stream];
      if (filled + cut > 0) this.#emit(stream);
    }
    if (this.dropped > 0) this.#onLine('stderr', `[${this.dropped} more lines were dropped]`);
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
    if (this.#lines <= MAX_LINES) {
      const text = new TextDecoder().decode(pending.bytes.subarray(0, pending.filled)).replace(/\r$/, '');
      // Lines are shown on terminals, which would execute escape sequences.
      const plain = text.replace(/(?!\t)\p{Cc}/gu, '\uFFFD');
      this.#onLine(stream, pending.cut > 0 ? `${plain} [${pending.cut} more bytes were cut]` : plain);
    }
    pending.filled = 0;
    pending.cut = 0;
  }
}

function newPending(): Pending {
  return { bytes: new Uint8Array(MAX_LINE_BYTES), filled: 0, cut: 0 };
}
