import { Command } from 'commander';
import { ComputationStatus } from '../../rpc/sealed.ts';
import type { CommandContext } from '../command-context.ts';
import { asParticipant, withParticipantOptions } from '../trust/participant.ts';

/** Ends a computation from inside a session, so that the manager can neither forge nor read it. */
export function stopCommand(context: CommandContext): Command {
  return withParticipantOptions(
    new Command('stop')
      .description('stop the computation, where the manifest lets your key')
      .argument('<enclave>'),
  ).action((enclave: string, _: unknown, command: Command) =>
    asParticipant(context, command, enclave, 'controller', async ({ session }) => {
      const status = await session.call({ method: 'computation.stop' }, ComputationStatus);
      context.output.result(`computation: ${status.state}`, status);
    }),
  );
}
