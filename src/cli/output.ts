import type { ErrorJson } from '../errors.ts';

/** Output of a command: text for people or JSON for programs on standard output, progress on standard error. */
export interface Output {
  readonly json: boolean;
  /** The result of a command. A command that follows events uses `line` for each of them instead. */
  result(text: string, value: unknown): void;
  line(text: string, value: unknown): void;
  progress(text: string): void;
  error(error: ErrorJson): void;
}

const PROGRESS_INTERVAL_MS = 1_000;

export function createOutput(json: boolean): Output {
  let progressMs = 0;
  const show = (text: string, value: unknown) => {
    process.stdout.write(json ? `${JSON.stringify(value)}\n` : `${text}\n`);
  };
  return {
    json,
    result: show,
    line: show,
    progress: (text) => {
      const ms = performance.now();
      if (json || ms - progressMs < PROGRESS_INTERVAL_MS) return;
      progressMs = ms;
      process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${text}` : `${text}\n`);
    },
    error: (error) => {
      if (json) process.stdout.write(`${JSON.stringify({ error })}\n`);
      const details = error.details === undefined ? '' : ` ${JSON.stringify(error.details)}`;
      process.stderr.write(`${error.code}: ${error.message}${details}\n`);
    },
  };
}

/** Formats rows as columns that are as wide as their widest cells. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, index) => {
      widths[index] = Math.max(widths[index] ?? 0, cell.length);
    });
  }
  return rows
    .map((row) =>
      row
        .map((cell, index) => cell.padEnd(widths[index] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
