import { CommanderError } from 'commander';
import { CocosError, EXIT } from '../errors.ts';
import { createOutput, type Output } from './output.ts';
import { createProgram } from './program.ts';

/** Runs the command that `argv` names, as `process.argv` is. Returns the exit code: docs/errors.md lists them. */
export async function runCommandLine(
  argv: readonly string[],
  environment: NodeJS.ProcessEnv,
  output: Output = createOutput(asksForJson(argv)),
): Promise<number> {
  let exit: number = EXIT.ok;
  const program = createProgram(output, environment, (code) => {
    exit = code;
  });
  try {
    await program.parseAsync([...argv]);
    return exit;
  } catch (thrown) {
    if (thrown instanceof CommanderError && thrown.exitCode === 0) return EXIT.ok;
    const error = thrown instanceof CommanderError ? usageError(thrown) : known(thrown);
    output.error(error.toJSON());
    return error.exit;
  }
}

/** Shows an error that nothing handled, and returns the exit code. */
export function showFault(argv: readonly string[], thrown: unknown): number {
  const error = known(thrown);
  createOutput(asksForJson(argv)).error(error.toJSON());
  return error.exit;
}

/** Found without parsing the options, so that a usage error too is shown in the requested format. */
function asksForJson(argv: readonly string[]): boolean {
  return argv.some(
    (argument, index) =>
      argument === '-ojson' ||
      (/^(-o|--output)$/.test(argument) && argv[index + 1] === 'json') ||
      argument === '--output=json',
  );
}

function usageError({ code, message }: CommanderError): CocosError {
  // Commander shows the help instead of an error when a group is named without one of its commands.
  if (code === 'commander.help') {
    return new CocosError('USAGE', 'A command is missing. Add --help to list the commands.');
  }
  const text = message.replace(/^error: /, '').replace(/\n\((.*)\)$/, '. $1');
  return new CocosError('USAGE', `${text.charAt(0).toUpperCase()}${text.slice(1)}`.replace(/[^.?]$/, '$&.'));
}

/** An error without a code is a defect: its text is for a bug report, not an explanation. */
function known(thrown: unknown): CocosError {
  if (thrown instanceof CocosError) return thrown;
  return new CocosError(
    'INTERNAL',
    'cocos-cli failed unexpectedly. Report this as a bug, with the details.',
    {
      cause: thrown,
      details: { reason: thrown instanceof Error ? thrown.message : String(thrown) },
    },
  );
}
