import { ComputationStatus } from '../../rpc/sealed.ts';
import type { CommandContext } from '../command-context.ts';
import { asParticipant, type ParticipantOptions } from '../trust/participant.ts';

/** Stops a computation from within a session, so that the manager can neither forge nor read the request. */
export function run(context: CommandContext, options: ParticipantOptions, enclave: string): Promise<void> {
  return asParticipant(context, options, enclave, 'controller', async ({ session }) => {
    const status = await session.call({ method: 'computation.stop' }, ComputationStatus);
    context.output.result(`computation: ${status.state}`, status);
  });
}
