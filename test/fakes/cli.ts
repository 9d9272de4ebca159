import type { Lines, Output } from '../../src/cli/output.ts';
import { runCommandLine } from '../../src/cli/run.ts';

export interface CliRun {
  readonly exit: number;
  /** The result for programs. */
  readonly json: unknown;
  /** The result for people. */
  readonly text: string;
  /** Code of the error. */
  readonly error: string | undefined;
  readonly details: unknown;
  /** Sentence of the error. */
  readonly message: string | undefined;
}

/** Runs one command of `cocos-cli` in this process. */
export function runCli(...args: readonly string[]): Promise<CliRun> {
  return runCliWith({}, ...args);
}

/** The same with more variables of the environment. */
export async function runCliWith(
  environment: Readonly<Record<string, string>>,
  ...args: readonly string[]
): Promise<CliRun> {
  let json: unknown;
  let text = '';
  let error: string | undefined;
  let details: unknown;
  let message: string | undefined;
  const show = (shown: Lines, value: unknown) => {
    text = typeof shown === 'string' ? shown : shown.join('\n');
    json = value;
  };
  const output: Output = {
    json: true,
    result: show,
    line: show,
    note: () => undefined,
    progress: () => undefined,
    help: () => undefined,
    error: (thrown) => {
      error = thrown.code;
      details = thrown.details;
      message = thrown.message;
    },
  };
  const exit = await runCommandLine(
    ['node', 'cocos-cli', ...args],
    { HOME: '/nonexistent', ...environment },
    output,
  );
  return { exit, json, text, error, details, message };
}
