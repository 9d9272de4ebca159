import { Cause } from '../../machines/common.ts';
import type { ControlClient } from '../../rpc/control-client.ts';
import type { Output } from '../output.ts';

/** Prints snapshots and transitions until the watched enclave, if it is only one, has ended. True when it has failed. */
export async function showWatch(
  output: Output,
  client: ControlClient,
  prefix: string,
  afterSequence = 0,
): Promise<boolean> {
  // A name must be resolved; the empty prefix, or one that ends in a slash, may match many actors.
  const address = prefix === '' || prefix.endsWith('/') ? prefix : (await client.get(prefix)).address;
  for await (const item of client.watch(address, undefined, afterSequence)) {
    if (item.kind === 'position') {
      if (output.json) output.line('', { position: item.sequence });
      continue;
    }
    if (item.kind === 'snapshot') {
      const { actor } = item;
      output.line(`${actor.address}: ${actor.state}${causeOf(actor.context)}`, { snapshot: actor });
      if (actor.address === address && hasEnded(actor.state)) return actor.state.startsWith('failed');
    } else if (item.kind === 'removed') {
      output.line(`${item.address}: removed`, { removed: item.address });
      if (item.address === address) return false;
    } else {
      const { sequence, address: actor, event, fromState, toState, atMs } = item.transition;
      const moved = fromState === toState ? toState : `${fromState || '·'} → ${toState}`;
      const at = timeOf(atMs);
      output.line(
        `${at}  ${String(sequence).padStart(4)}  ${actor}  ${moved}  (${event}${bootStep(event, item.context)})${causeOf(item.context)}`,
        { transition: { ...item.transition, context: item.context } },
      );
      if (actor === address && hasEnded(toState)) return toState.startsWith('failed');
    }
  }
  return false;
}

/** The manager may send any number; most are no time of any calendar. */
function timeOf(atMs: number): string {
  const time = new Date(atMs);
  return Number.isNaN(time.getTime()) ? '--:--:--.---' : time.toISOString().slice(11, 23);
}

function causeOf(context: Readonly<Record<string, unknown>>): string {
  const cause = Cause.safeParse(context['cause']);
  return cause.success ? `  ${cause.data.code}: ${cause.data.message}` : '';
}

function hasEnded(state: string): boolean {
  return state === 'failed.settled' || state === 'stopped.settled';
}

/** The step that a boot has reached. */
function bootStep(event: string, context: unknown): string {
  if (event !== 'boot.progressed' || typeof context !== 'object' || context === null) return '';
  return 'bootStep' in context ? `: ${String(context.bootStep)}` : '';
}
