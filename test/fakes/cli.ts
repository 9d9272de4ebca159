import { CommanderError } from 'commander';
import type { Output } from '../../src/cli/output.ts';
import { createProgram } from '../../src/cli/program.ts';
import { CocosError, EXIT } from '../../src/errors.ts';

export interface CliRun {
  readonly exit: number;
  /** What the command gave for programs. */
  readonly json: unknown;
  /** What it gave for people. */
  readonly text: string;
  readonly error: string | undefined;
}

/** Runs one command of `cocos-cli` in this process, as its main file does. */
export async function runCli(...args: readonly string[]): Promise<CliRun> {
  let exit: number = EXIT.ok;
  let json: unknown;
  let text = '';
  const show = (shown: string, value: unknown) => {
    text = shown;
    json = value;
  };
  const output: Output = {
    json: true,
    result: show,
    line: show,
    progress: () => undefined,
    error: () => undefined,
  };
  const environment = { HOME: '/nonexistent' };
  const program = createProgram(output, environment, (code) => {
    exit = code;
  });
  try {
    await program.parseAsync(['node', 'cocos-cli', ...args]);
    return { exit, json, text, error: undefined };
  } catch (thrown) {
    if (thrown instanceof CommanderError) return { exit: EXIT.usage, json, text, error: 'USAGE' };
    const error = CocosError.from(thrown);
    return { exit: error.exit, json, text, error: error.code };
  }
}
