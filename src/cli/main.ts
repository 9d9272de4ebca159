#!/usr/bin/env node
import { CommanderError } from 'commander';
import { CocosError, EXIT } from '../errors.ts';
import { exitOnFault } from '../runtime/fault.ts';
import { createOutput } from './output.ts';
import { createProgram } from './program.ts';

/** `cocos-cli`: names for the events and calls that drive enclaves. Exit codes: docs/errors.md. */
async function main(): Promise<number> {
  // Known before the options are parsed, so that a usage error is shown in the right form as well.
  const json = process.argv.some(
    (argument, index, all) =>
      argument === '-ojson' ||
      (/^(-o|--output)$/.test(argument) && all[index + 1] === 'json') ||
      argument === '--output=json',
  );
  const output = createOutput(json);
  exitOnFault((error) => output.error(error.toJSON()));
  let exit: number = EXIT.ok;
  const program = createProgram(output, process.env, (code) => {
    exit = code;
  });
  try {
    await program.parseAsync(process.argv);
    return exit;
  } catch (thrown) {
    if (thrown instanceof CommanderError) {
      if (thrown.exitCode === 0) return EXIT.ok;
      output.error(new CocosError('USAGE', thrown.message.replace(/^error: /, '')).toJSON());
      return EXIT.usage;
    }
    const error = CocosError.from(thrown);
    output.error(error.toJSON());
    return error.exit;
  }
}

process.exitCode = await main();
