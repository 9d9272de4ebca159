import type { ErrorJson } from '../errors.ts';
import { printableJson, UNPRINTABLE } from '../machines/unprintable.ts';
import { NEXT_STEPS } from './next-steps.ts';

/** A line, or a list of lines. A line break within a line is data, and is shown as an escape. */
export type Lines = string | readonly string[];

/**
 * Output of a command: text for people or JSON for programs on standard output, progress on standard error.
 *
 * It is the only writer to both streams. Names, log lines and errors come from other parties, so no character that
 * controls a terminal passes: text shows it as an escape such as \x1b, and JSON escapes it within its string.
 */
export interface Output {
  readonly json: boolean;
  /** The result of a command. A command that follows events uses `line` for each of them instead. */
  result(text: Lines, value: unknown): void;
  line(text: string, value: unknown): void;
  /** A line on standard error that people must not miss, such as a warning or a log line. */
  note(text: string): void;
  progress(text: string): void;
  error(error: ErrorJson): void;
  /** The text of --help and --version, which this program wrote. */
  help(text: string): void;
}

const PROGRESS_INTERVAL_MS = 1_000;

export function createOutput(json: boolean): Output {
  let progressMs = Number.NEGATIVE_INFINITY;
  const show = (text: Lines, value: unknown) => {
    process.stdout.write(json ? `${printableJson(value)}\n` : toText(text));
  };
  return {
    json,
    result: show,
    line: show,
    note: (text) => {
      if (!json) process.stderr.write(toText(text));
    },
    progress: (text) => {
      const ms = performance.now();
      if (json || ms - progressMs < PROGRESS_INTERVAL_MS) return;
      progressMs = ms;
      process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${printable(text)}` : toText(text));
    },
    error: (error) => {
      const next = NEXT_STEPS[error.code];
      if (json) process.stdout.write(`${printableJson({ error: { ...error, next } })}\n`);
      const details = error.details === undefined ? '' : ` ${JSON.stringify(error.details)}`;
      process.stderr.write(toText([`${error.code}: ${error.message}${details}`, `next: ${next}`]));
    },
    help: (text) => {
      process.stdout.write(toText(text.replace(/\n$/, '').split('\n')));
    },
  };
}

/** Formats rows as columns that are as wide as their widest cells. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const shown = rows.map((row) => row.map(printable));
  const widths: number[] = [];
  for (const row of shown) {
    row.forEach((cell, index) => {
      widths[index] = Math.max(widths[index] ?? 0, cell.length);
    });
  }
  return shown.map((row) =>
    row
      .map((cell, index) => cell.padEnd(widths[index] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

/** Text in which every character that a terminal could act upon is a visible escape. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (character) => {
    const code = character.codePointAt(0) ?? 0;
    const hex = code.toString(16);
    if (code > 0xffff) return `\\u{${hex}}`;
    return code > 0xff ? `\\u${hex.padStart(4, '0')}` : `\\x${hex.padStart(2, '0')}`;
  });
}

function toText(text: Lines): string {
  const lines = typeof text === 'string' ? [text] : text;
  return lines.map((line) => `${printable(line)}\n`).join('');
}
