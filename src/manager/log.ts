import { printableJson } from '../machines/unprintable.ts';

/** Writes one JSON object per line to standard error. Texts of guests and services control no terminal that shows it. */
export type Log = (
  level: 'info' | 'warning' | 'error',
  message: string,
  fields?: Readonly<Record<string, unknown>>,
) => void;

export const log: Log = (level, message, fields = {}) => {
  process.stderr.write(`${printableJson({ time: new Date().toISOString(), level, message, ...fields })}\n`);
};
