import { Command, type OptionValues } from 'commander';
import { VERSION } from '../version.ts';
import type { CommandContext, GlobalOptions } from './command-context.ts';
import { type CommandGroup, type CommandRow, option } from './command-row.ts';
import { COMMANDS } from './commands/table.ts';
import type { Output } from './output.ts';

export function createProgram(
  output: Output,
  environment: NodeJS.ProcessEnv,
  exit: (code: number) => void,
): Command {
  const contextOf = (globals: GlobalOptions): CommandContext => ({ output, environment, globals, exit });
  const program = new Command('cocos-cli')
    .description('Compute on the data of several parties in an attested enclave')
    .version(VERSION)
    .option('--manager <address>', 'address of the manager: unix:/path, tcp:host:port or tls:host:port')
    .option('--tls-cert <file>', 'client certificate for tls: addresses')
    .option('--tls-key <file>', 'private key of the client certificate')
    .option('--tls-ca <file>', 'certificate authority of the manager')
    .addOption(outputOption());
  for (const row of COMMANDS) program.addCommand(build(row, contextOf, output));
  return withOutput(program, output);
}

function build(
  row: CommandRow | CommandGroup,
  contextOf: (globals: GlobalOptions) => CommandContext,
  output: Output,
): Command {
  const command = withOutput(new Command(row.name).description(row.description), output);
  if ('commands' in row) {
    for (const each of row.commands) command.addCommand(build(each, contextOf, output));
    return command.addOption(outputOption());
  }
  for (const parameter of row.parameters) {
    if ('flags' in parameter) command.addOption(parameter);
    else command.addArgument(parameter);
  }
  command.addOption(outputOption());
  return command.action(async (...given: unknown[]) => {
    const args = given.slice(0, -2);
    const options: OptionValues = command.opts();
    const { run } = await row.load();
    await run(contextOf(command.optsWithGlobals<GlobalOptions>()), options, ...args);
  });
}

/** Accepted at every place of the command line. `createOutput` finds it without the parser. */
function outputOption() {
  return option('-o, --output <format>', 'output format').choices(['text', 'json']).default('text');
}

/** Makes commander throw instead of exiting and printing errors; it does not pass these settings to sub-commands. */
function withOutput(command: Command, output: Output): Command {
  return command
    .exitOverride()
    .configureOutput({ writeOut: (text) => output.help(text), writeErr: () => undefined });
}
