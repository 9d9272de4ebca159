import { CocosError } from '../errors.ts';

/** Stack frames in an entry of the log. */
const FRAMES = 10;

/** One line of the log of this process: what failed and where. */
interface FaultEntry {
  readonly time: string;
  readonly level: 'error';
  readonly message: string;
  /** Class of what was thrown, and of its causes. */
  readonly name: string;
  readonly causes: readonly string[];
  readonly code: string;
  /** Only of a failure to start: no participant's data is in the process before. */
  readonly reason?: string;
  readonly at: readonly string[];
}

/** Logs why the agent could not start, and ends the process with the exit code of the error. */
export function exitAtStart(thrown: unknown): never {
  process.exit(reportFault(thrown, 'the agent could not start', { reason: CocosError.from(thrown).message }));
}

/** Logs a fault without its text, and returns the exit code. The manager notices the end and reports it. */
export function reportFault(
  thrown: unknown,
  message: string,
  extra: Pick<FaultEntry, 'reason'> = {},
): number {
  const { code, exit } = CocosError.from(thrown);
  const causes = causesOf(thrown);
  const entry: FaultEntry = {
    ...{ time: new Date().toISOString(), level: 'error', message },
    ...{ name: nameOf(thrown), causes: causes.map(nameOf), code, ...extra },
    at: framesOf(causes.at(-1) ?? thrown),
  };
  process.stderr.write(`${JSON.stringify(entry)}\n`);
  return exit;
}

function causesOf(thrown: unknown): unknown[] {
  const cause = thrown instanceof Error ? thrown.cause : undefined;
  return cause === undefined ? [] : [cause, ...causesOf(cause)];
}

function nameOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.constructor.name : typeof thrown;
}

/** The frames of a stack, without its message: the host reads the log, and a message may quote a participant's data. */
function framesOf(thrown: unknown): string[] {
  if (!(thrown instanceof Error)) return [];
  const frames = (thrown.stack ?? '').split('\n').filter((line) => /^\s+at .+:\d+:\d+\)?$/.test(line));
  return frames.slice(0, FRAMES).map((line) => line.trim());
}
