import { CocosError } from '../../../errors.ts';
import type { ActorInfo, ControlClient } from '../../../rpc/control-client.ts';
import type { CommandContext } from '../../command-context.ts';
import { failureOf } from '../../trust/enclave-failure.ts';

/** Waits until an enclave is in a state. @throws CocosError the enclave's cause when it fails instead; CANCELLED */
export async function waitForState(
  { output }: CommandContext,
  client: ControlClient,
  actor: ActorInfo,
  wanted: string,
): Promise<ActorInfo> {
  const abort = new AbortController();
  try {
    for await (const item of client.watch(actor.address, abort.signal)) {
      const seen =
        item.kind === 'snapshot'
          ? { address: item.actor.address, state: item.actor.state, context: item.actor.context }
          : item.kind === 'transition'
            ? { address: item.transition.address, state: item.transition.toState, context: item.context }
            : null;
      if (seen === null || seen.address !== actor.address) continue;
      output.progress(`${actor.address}: ${seen.state}`);
      if (seen.state === wanted) return await client.get(actor.address);
      if (seen.state === 'failed.settled') throw failureOf(seen.context);
      if (seen.state === 'stopped.settled') {
        throw new CocosError('CANCELLED', 'The enclave was stopped before it was ready.');
      }
    }
  } finally {
    abort.abort();
  }
  throw new CocosError(
    'MANAGER_UNAVAILABLE',
    `The manager closed the connection before the enclave reached the state ${wanted}.`,
  );
}
