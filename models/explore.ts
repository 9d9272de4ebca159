import type {
  AnyEventObject,
  AnyMachineSnapshot,
  AnyStateMachine,
  AnyStateNode,
  AnyTransitionDefinition,
} from 'xstate';
import { getAdjacencyMap } from 'xstate/graph';
import { stateName } from '../src/machines/state-name.ts';

/** What a model adds to a machine: events to try, and an invariant for every reachable state. */
export interface Model {
  readonly machine: AnyStateMachine;
  readonly input?: unknown;
  /** Events to try in every state, whether legal or not. */
  readonly events: readonly AnyEventObject[];
  /** The part of the context that distinguishes states of the model; only the state's name by default. */
  readonly distinguish?: (context: Readonly<Record<string, unknown>>) => unknown;
  /** Returns a sentence, or throws, if a state violates the invariant. */
  readonly invariant?: (state: string, context: Readonly<Record<string, unknown>>) => string | null;
}

export interface Exploration {
  readonly states: ReadonlySet<string>;
  /** States and transitions that the chart has. */
  readonly stateCount: number;
  readonly transitionCount: number;
  /** States that no path reached. */
  readonly missedStates: readonly string[];
  /** Transitions that no path took. */
  readonly missedTransitions: readonly string[];
  readonly violations: readonly string[];
  /** Illegal events that changed a state. */
  readonly illegalMoves: readonly string[];
}

interface Vertex {
  readonly state: unknown;
  readonly transitions: Readonly<Record<string, { readonly event: AnyEventObject; readonly state: unknown }>>;
}

/** Follows every event from every reachable state. */
export function explore(model: Model): Exploration {
  const { machine } = model;
  const serialize = (snapshot: AnyMachineSnapshot) =>
    JSON.stringify([snapshot.value, model.distinguish?.(snapshot.context) ?? null]);
  const map: Readonly<Record<string, Vertex>> = {
    ...getAdjacencyMap(machine, {
      events: model.events,
      input: model.input,
      serializeState: (snapshot) => serialize(snapshot as AnyMachineSnapshot),
      limit: 100_000,
    }),
  };
  const states = new Set<string>();
  const nodes = new Set<AnyStateNode>();
  const taken = new Set<AnyTransitionDefinition>();
  const violations = new Set<string>();
  const illegalMoves = new Set<string>();
  for (const { state, transitions } of Object.values(map)) {
    const snapshot = state as AnyMachineSnapshot;
    const name = stateName(snapshot.value);
    states.add(name);
    for (const node of snapshot._nodes) nodes.add(node);
    const violation = model.invariant?.(name, snapshot.context) ?? null;
    if (violation !== null) violations.add(`${name}: ${violation}`);
    for (const { event, state: next } of Object.values(transitions)) {
      const definitions = machine.getTransitionData(snapshot as never, event);
      for (const definition of definitions) taken.add(definition);
      const legal = snapshot.can(event);
      if (legal && (next as AnyMachineSnapshot).status === 'error') {
        violations.add(`${name}: ended by ${event.type}`);
      }
      // XState sends a child's error only to the roots, which handle it in every state.
      const possible = !event.type.startsWith('xstate.');
      if (!legal && possible && stateOf(next as AnyMachineSnapshot) !== stateOf(snapshot)) {
        illegalMoves.add(`${name}: ${event.type}`);
      }
    }
  }
  const all = nodesOf(machine.root);
  return {
    states,
    stateCount: all.filter((node) => node.always === undefined).length,
    transitionCount: all.flatMap((node) => [...node.transitions.values()].flat()).length,
    missedStates: all.filter((node) => !nodes.has(node)).map((node) => node.id),
    missedTransitions: all
      .flatMap((node) => [...node.transitions.values()].flat())
      .filter((definition) => !taken.has(definition))
      .map(describe),
    violations: [...violations],
    illegalMoves: [...illegalMoves],
  };
}

/** The parts of a snapshot that an event can change. */
function stateOf({ value, context, status }: AnyMachineSnapshot): string {
  return JSON.stringify([value, context, status]);
}

function nodesOf(node: AnyStateNode): AnyStateNode[] {
  return [node, ...Object.values(node.states).flatMap((child) => nodesOf(child as AnyStateNode))];
}

function describe(definition: AnyTransitionDefinition): string {
  const targets = definition.target?.map((target) => target.id).join(', ') ?? 'itself';
  const guard = definition.guard === undefined ? '' : ` [${guardName(definition.guard)}]`;
  return `${definition.source.id}: ${definition.eventType}${guard} → ${targets}`;
}

function guardName(guard: unknown): string {
  return typeof guard === 'string' ? guard : 'inline';
}

/** The event that XState sends to a parent when a child throws. */
export function childError(id: string): AnyEventObject {
  return { type: `xstate.error.actor.${id}` };
}
