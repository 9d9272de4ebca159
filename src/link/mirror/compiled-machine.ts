import type {
  AnyEventObject,
  AnyStateMachine,
  AnyStateNode,
  AnyTransitionDefinition,
  StateValue,
} from 'xstate';
import { CocosError } from '../../errors.ts';
import {
  ancestorsOf,
  beyond,
  descent,
  domainOf,
  nodesOf,
  requirePlain,
  stateValueOf,
} from './chart-nodes.ts';

/**
 * A statechart as a table: for each state and event the guarded transitions, each with the assignments of its exit,
 * transition and entry actions. A mirror has no effects and no children, so the table suffices, at a fraction of the
 * interpreter's time and memory. Only charts that the table can express are compiled. Tests hold it equal to the
 * interpreter.
 */

type Context = Readonly<Record<string, unknown>>;
type Guard = (args: { context: Context; event: AnyEventObject }, params: unknown) => boolean;
type Assignment = (context: Context, event: AnyEventObject) => Context;

/** State of a machine. The interpreter's snapshot has these members and more. */
export interface MachineState {
  readonly machine: { readonly id: string };
  readonly value: StateValue;
  readonly context: Context;
}

interface Step {
  readonly guard: ((context: Context, event: AnyEventObject) => boolean) | null;
  readonly assignments: readonly Assignment[];
  /** Null if the transition does not leave its state. */
  readonly target: Leaf | null;
}

/** An atomic state with its transitions, in the order in which they are tried. */
interface Leaf {
  readonly value: StateValue;
  readonly steps: Map<string, Step[]>;
  readonly eventless: Step[];
}

interface CompiledState extends MachineState {
  readonly leaf: Leaf;
}

/** Bound on consecutive eventless transitions: more than any chart has without a cycle. */
const EVENTLESS_LIMIT = 64;

export class CompiledMachine {
  readonly id: string;
  private readonly machine: AnyStateMachine;
  private readonly leaves = new Map<AnyStateNode, Leaf>();
  private readonly first: Leaf;
  private readonly firstAssignments: readonly Assignment[];

  /** @throws CocosError INTERNAL if the table cannot express the chart */
  constructor(machine: AnyStateMachine) {
    this.id = machine.id;
    this.machine = machine;
    const nodes = nodesOf(machine.root);
    for (const node of nodes) {
      requirePlain(node);
      if (node.type === 'atomic')
        this.leaves.set(node, { value: stateValueOf(node), steps: new Map(), eventless: [] });
    }
    for (const [node, leaf] of this.leaves) this.fill(node, leaf);
    const entered = [machine.root, ...descent(machine.root)];
    this.first = this.leafAt(entered);
    this.firstAssignments = entered.flatMap((node) => this.assignments(node.entry));
  }

  /** The state of a new actor. `input` must fit the machine. */
  start(input: unknown): MachineState {
    const event = { type: 'xstate.init', input };
    const given: unknown = this.machine.config.context;
    const context: unknown = typeof given === 'function' ? given({ input }) : given;
    return this.settle(this.first, run(this.firstAssignments, asContext(context), event), event);
  }

  /** A state that was reached elsewhere, or null if the chart has no such state. */
  restore(value: unknown, context: Context): MachineState | null {
    const leaf = this.find(this.machine.root, value);
    return leaf === null ? null : this.state(leaf, context);
  }

  /**
   * The state after an event, or null if the event is not legal in `state`.
   *
   * @throws Error what a guard or an assignment throws; `state` does not change then
   */
  step(state: MachineState, event: AnyEventObject): MachineState | null {
    const { leaf } = state as CompiledState;
    const step = enabled(leaf.steps.get(event.type), state.context, event);
    if (step === null || (step.target === null && step.assignments.length === 0)) return null;
    return this.settle(step.target ?? leaf, run(step.assignments, state.context, event), event);
  }

  /** Takes eventless transitions until none is enabled. */
  private settle(leaf: Leaf, context: Context, event: AnyEventObject): MachineState {
    let at = leaf;
    let now = context;
    for (let count = 0; at.eventless.length > 0; count++) {
      const step = enabled(at.eventless, now, event);
      if (step === null) break;
      if (count === EVENTLESS_LIMIT)
        throw new CocosError(
          'INTERNAL',
          `The eventless transitions of the machine '${this.id}' form a cycle.`,
        );
      now = run(step.assignments, now, event);
      at = step.target ?? at;
    }
    return this.state(at, now);
  }

  private state(leaf: Leaf, context: Context): CompiledState {
    return { machine: this, value: leaf.value, context, leaf };
  }

  private fill(node: AnyStateNode, leaf: Leaf): void {
    for (const level of [node, ...ancestorsOf(node)]) {
      for (const [type, definitions] of level.transitions) {
        const steps = definitions.map((definition) => this.compile(node, definition));
        leaf.steps.set(type, [...(leaf.steps.get(type) ?? []), ...steps]);
      }
      for (const definition of level.always ?? []) leaf.eventless.push(this.compile(node, definition));
    }
  }

  /** A transition as taken from the atomic state `from`. */
  private compile(from: AnyStateNode, definition: AnyTransitionDefinition): Step {
    const { source, target: targets } = definition;
    const guard = this.guard(definition.guard);
    const own = this.assignments(definition.actions);
    if (targets === undefined) return { guard, assignments: own, target: null };
    const [target] = targets;
    if (target === undefined || targets.length !== 1) throw beyond(source, 'several targets');
    const domain = domainOf(source, target, definition.reenter);
    const below = (node: AnyStateNode) =>
      [node, ...ancestorsOf(node)].filter((each) => ancestorsOf(each).includes(domain));
    const entered = [...below(target).reverse(), ...descent(target)];
    const assignments = [
      ...below(from).flatMap((node) => this.assignments(node.exit)),
      ...own,
      ...entered.flatMap((node) => this.assignments(node.entry)),
    ];
    return { guard, assignments, target: entered.length === 0 ? null : this.leafAt(entered) };
  }

  private leafAt(entered: readonly AnyStateNode[]): Leaf {
    const node = entered.at(-1);
    const leaf = node === undefined ? undefined : this.leaves.get(node);
    if (leaf === undefined) throw beyond(this.machine.root, 'a target without an atomic state');
    return leaf;
  }

  private find(node: AnyStateNode, value: unknown): Leaf | null {
    if (typeof value === 'string') {
      const child = Object.hasOwn(node.states, value) ? node.states[value] : undefined;
      return child === undefined ? null : (this.leaves.get(child) ?? null);
    }
    if (typeof value !== 'object' || value === null) return null;
    const [entry, ...others] = Object.entries(value);
    if (entry === undefined || others.length > 0 || !Object.hasOwn(node.states, entry[0])) return null;
    const child: AnyStateNode | undefined = node.states[entry[0]];
    return child === undefined ? null : this.find(child, entry[1]);
  }

  private guard(guard: unknown): Step['guard'] {
    if (guard === undefined) return null;
    const { name, params } = reference(guard);
    const found: unknown = name === null ? guard : this.machine.implementations.guards[name];
    // Combined guards (and, or, not) are functions too, but need the interpreter's snapshot.
    if (typeof found !== 'function' || 'check' in found) throw beyond(this.machine.root, 'a combined guard');
    const check = found as Guard;
    return (context, event) => check({ context, event }, params);
  }

  private assignments(actions: readonly unknown[]): Assignment[] {
    return actions.map((action) => {
      const { name, params } = reference(action);
      const found: unknown = name === null ? action : this.machine.implementations.actions[name];
      if (typeof found !== 'function' || !('assignment' in found))
        throw beyond(this.machine.root, 'an action that does more than assign');
      return assignmentOf(found.assignment, params);
    });
  }
}

function enabled(steps: readonly Step[] | undefined, context: Context, event: AnyEventObject): Step | null {
  if (steps === undefined) return null;
  for (const step of steps) if (step.guard === null || step.guard(context, event)) return step;
  return null;
}

function run(assignments: readonly Assignment[], context: Context, event: AnyEventObject): Context {
  let now = context;
  for (const assign of assignments) now = assign(now, event);
  return now;
}

function assignmentOf(given: unknown, params: unknown): Assignment {
  if (typeof given === 'function') {
    return (context, event) => ({ ...context, ...given({ context, event }, params) });
  }
  const members = Object.entries(asContext(given));
  return (context, event) => {
    const update = members.map(([key, member]) => [
      key,
      typeof member === 'function' ? member({ context, event }, params) : member,
    ]);
    return { ...context, ...Object.fromEntries(update) };
  };
}

/** A chart's reference to a guard or an action: its name, and fixed parameters. */
function reference(given: unknown): { readonly name: string | null; readonly params: unknown } {
  if (typeof given === 'string') return { name: given, params: undefined };
  if (typeof given !== 'object' || given === null || !('type' in given))
    return { name: null, params: undefined };
  const params = 'params' in given ? given.params : undefined;
  if (typeof params === 'function')
    throw new CocosError('INTERNAL', 'A chart with computed parameters cannot be compiled.');
  return { name: String(given.type), params };
}

function asContext(value: unknown): Context {
  if (typeof value !== 'object' || value === null)
    throw new CocosError('INTERNAL', 'A machine without a context cannot be compiled.');
  return value as Context;
}
