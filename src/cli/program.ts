import { Command, Option } from 'commander';
import { VERSION } from '../version.ts';
import type { CommandContext } from './command-context.ts';
import { actorCommands } from './commands/actors.ts';
import { attestationCommands } from './commands/attestation.ts';
import { checksumCommand } from './commands/checksum.ts';
import { enclaveCommands } from './commands/enclave.ts';
import { eosCommands } from './commands/eos.ts';
import { inputCommands } from './commands/input.ts';
import { keyCommands } from './commands/keys.ts';
import { manifestCommands } from './commands/manifest.ts';
import { measureCommands } from './commands/measure.ts';
import { resultCommands } from './commands/result.ts';
import { runCommand } from './commands/run.ts';
import { stopCommand } from './commands/stop.ts';
import { controlClient, type GlobalOptions } from './global-options.ts';
import type { Output } from './output.ts';

export function createProgram(
  output: Output,
  environment: NodeJS.ProcessEnv,
  exit: (code: number) => void,
): Command {
  const context: CommandContext = {
    output,
    environment,
    exit,
    withManager: async (command, run) => {
      const client = controlClient(command.optsWithGlobals<GlobalOptions>(), environment);
      try {
        return await run(client);
      } finally {
        client.close();
      }
    },
  };
  const program = new Command('cocos-cli')
    .description('Compute on data of several parties in an attested enclave')
    .version(VERSION)
    .option('--manager <address>', 'where the manager is: unix:/path, tcp:host:port or tls:host:port')
    .option('--tls-cert <file>', 'certificate for tls:')
    .option('--tls-key <file>', 'key for tls:')
    .option('--tls-ca <file>', 'certificate authority for tls:')
    .exitOverride()
    .configureOutput({ writeErr: () => undefined });
  for (const command of [
    keyCommands(context),
    checksumCommand(context),
    manifestCommands(context),
    enclaveCommands(context),
    attestationCommands(context),
    measureCommands(context),
    eosCommands(context),
    ...inputCommands(context),
    runCommand(context),
    stopCommand(context),
    resultCommands(context),
    actorCommands(context),
  ]) {
    program.addCommand(command);
  }
  prepare(program);
  return program;
}

/** Settings that commander does not hand down to sub-commands. */
function prepare(command: Command): void {
  command.exitOverride().configureOutput({ writeErr: () => undefined });
  if (command.commands.length === 0) {
    const form = new Option('-o, --output <format>', 'form of the outcome');
    command.addOption(form.choices(['text', 'json']).default('text'));
  }
  for (const child of command.commands) prepare(child);
}
