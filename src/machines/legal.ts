import type { AnyEventObject, AnyMachineSnapshot, AnyTransitionDefinition } from 'xstate';
import { stateName } from './state-name.ts';

/** Why a machine does not accept an event in its present state. */
export interface Refusal {
  readonly state: string;
  /** Types of the events that the state handles, regardless of guards. */
  readonly legalEvents: readonly string[];
  /** Names of the guards on the event's transitions; empty if the state has no transition for it. */
  readonly guards: readonly string[];
}

/** Null if the machine accepts the event. */
export function refusalOf(snapshot: AnyMachineSnapshot, event: AnyEventObject): Refusal | null {
  if (snapshot.can(event)) return null;
  const transitions: AnyTransitionDefinition[] = snapshot._nodes.flatMap((node) =>
    [...node.transitions.values()].flat(),
  );
  const types = transitions
    .map((transition) => transition.eventType)
    .filter((type) => !type.startsWith('xstate.'));
  const guards = transitions
    .filter((each) => each.eventType === event.type)
    .map((each) => guardName(each.guard));
  return {
    state: stateName(snapshot.value),
    legalEvents: [...new Set(types)].sort(),
    guards: [...new Set(guards)],
  };
}

function guardName(guard: unknown): string {
  return typeof guard === 'string' ? guard : 'unnamed';
}
