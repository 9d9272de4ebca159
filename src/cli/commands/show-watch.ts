import { Cause } from '../../machines/common.ts';
import type { ControlClient } from '../../rpc/control-client.ts';
import type { Output } from '../output.ts';

/** Prints snapshots and transitions until the one watched enclave has ended. True when it has failed. */
export async function showWatch(
  output: Output,
  client: ControlClient,
  prefix: string,
  afterSequence = 0,
): Promise<boolean> {
  // A name is looked up; an address, or the beginning of some, is watched as it is.
  const address = prefix === '' || prefix.endsWith('/') ? prefix : (await client.get(prefix)).address;
  for await (const item of client.watch(address, undefined, afterSequence)) {
    if (item.kind === 'position') {
      if (output.json) output.line('', { position: item.sequence });
      continue;
    }
    if (item.kind === 'snapshot') {
      output.line(`${item.actor.address}: ${item.actor.state}${because(item.actor.context)}`, {
        snapshot: item.actor,
      });
      if (item.actor.address === address && ended(item.actor.state))
        return item.actor.state.startsWith('failed');
    } else if (item.kind === 'removed') {
      output.line(`${item.address}: removed`, { removed: item.address });
      if (item.address === address) return false;
    } else {
      const { sequence, address: actor, event, fromState, toState, atMs } = item.transition;
      const moved = fromState === toState ? toState : `${fromState || '·'} → ${toState}`;
      const at = new Date(atMs).toISOString().slice(11, 23);
      output.line(
        `${at}  ${String(sequence).padStart(4)}  ${actor}  ${moved}  (${event}${stepIn(event, item.context)})${because(item.context)}`,
        {
          transition: { ...item.transition, context: item.context },
        },
      );
      if (actor === address && ended(toState)) return toState.startsWith('failed');
    }
  }
  return false;
}

function because(context: Readonly<Record<string, unknown>>): string {
  const cause = Cause.safeParse(context['cause']);
  return cause.success ? `  ${cause.data.code}: ${cause.data.message}` : '';
}

function ended(state: string): boolean {
  return state === 'failed.settled' || state === 'stopped.settled';
}

/** Which step a boot came to. */
function stepIn(event: string, context: unknown): string {
  if (event !== 'boot.progressed' || typeof context !== 'object' || context === null) return '';
  return 'bootStep' in context ? `: ${String(context.bootStep)}` : '';
}
