import { appendFileSync } from 'node:fs';
import type { AnyMachineSnapshot, AnyStateMachine, InspectionEvent } from 'xstate';
import { stateName } from '../machines/state-name.ts';

/** Observes an actor system; the `inspect` option of `createActor`. */
export type Trace = (inspected: InspectionEvent) => void;

/**
 * Appends one JSON line for each transition of each machine, even before a process serves requests and after it has
 * closed: `{time, pid, machine, actor, event, from, to}`. It contains no context, so no digest, key or name of a
 * participant.
 *
 * @param file shared by all processes of a host; undefined for no trace
 */
export function traceTo(file: string | undefined): Trace | undefined {
  if (file === undefined) return undefined;
  const states = new WeakMap<object, string>();
  return (inspected) => {
    if (inspected.type !== '@xstate.microstep' && inspected.type !== '@xstate.snapshot') return;
    const { actorRef, event, snapshot } = inspected;
    if (!isOfMachine(snapshot) || event.type === 'xstate.stop') return;
    const from = states.get(actorRef) ?? '';
    const to = stateName(snapshot.value);
    states.set(actorRef, to);
    // A snapshot without a preceding step is the first one, of a new or restored actor.
    const isStep = inspected.type === '@xstate.microstep' ? inspected._transitions.length > 0 : from === '';
    if (!isStep) return;
    const actor = 'id' in actorRef ? actorRef.id : '';
    const step = { machine: snapshot.machine.id, actor, event: event.type, from, to };
    const line = JSON.stringify({ time: new Date().toISOString(), pid: process.pid, ...step });
    try {
      appendFileSync(file, `${line}\n`, { mode: 0o600 });
    } catch {
      // A failure to write the trace must not affect the traced machines.
    }
  };
}

/** Combines two inspectors. */
export function inspectBoth(one: Trace, other: Trace | undefined): Trace {
  if (other === undefined) return one;
  return (inspected) => {
    one(inspected);
    other(inspected);
  };
}

function isOfMachine(
  snapshot: unknown,
): snapshot is AnyMachineSnapshot & { readonly machine: AnyStateMachine } {
  return typeof snapshot === 'object' && snapshot !== null && 'machine' in snapshot && 'value' in snapshot;
}
