import { parseArgs } from 'node:util';
import { CocosError, EXIT } from '../errors.ts';
import { VERSION } from '../version.ts';

/**
 * Handles the command line of a program whose settings come from the environment: help, version, or a usage error with
 * its exit code.
 *
 * @param help lines under the usage
 * @returns true if the program should run
 */
export function mayRun(name: string, help: readonly string[], args: readonly string[]): boolean {
  const usage = `usage: ${name} [--help | --version]`;
  try {
    const { values } = parseArgs({
      args: [...args],
      options: { help: { type: 'boolean', short: 'h' }, version: { type: 'boolean', short: 'V' } },
    });
    if (values.help === true) console.log([usage, '', ...help].join('\n'));
    else if (values.version === true) console.log(VERSION);
    else return true;
  } catch (thrown) {
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    const error = new CocosError('USAGE', reason);
    console.error(`${error.code}: ${error.message}\n${usage}`);
    process.exitCode = EXIT.usage;
  }
  return false;
}
