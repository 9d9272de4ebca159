/** Writes one JSON object per line to standard error. */
export type Log = (
  level: 'info' | 'warning' | 'error',
  message: string,
  fields?: Readonly<Record<string, unknown>>,
) => void;

export const log: Log = (level, message, fields = {}) => {
  process.stderr.write(`${JSON.stringify({ time: new Date().toISOString(), level, message, ...fields })}\n`);
};
