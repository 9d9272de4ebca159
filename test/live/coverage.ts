import type { AnyStateMachine, AnyStateNode, AnyTransitionDefinition } from 'xstate';

/** How much of a chart a run of the real programs went through, from the steps that they published. */

export interface Step {
  readonly event: string;
  /** Empty for an actor's first state. */
  readonly from: string;
  readonly to: string;
}

export interface Coverage {
  readonly states: readonly [reached: number, of: number];
  readonly transitions: readonly [taken: number, of: number];
  readonly missedStates: readonly string[];
  readonly missedTransitions: readonly string[];
  /** Steps that the chart does not have: none may be. */
  readonly strange: readonly string[];
}

export function coverageOf(machine: AnyStateMachine, steps: readonly Step[]): Coverage {
  const nodes = nodesOf(machine.root);
  const leaves = nodes.filter((node) => node.type === 'atomic' && node.always === undefined);
  const reached = new Set(steps.map(({ to }) => to));
  const taken = new Set<AnyTransitionDefinition>();
  const strange = new Set<string>();
  for (const step of steps) {
    if (step.from === '') continue;
    const found = nodes
      .filter((node) => isWithin(step.from, nameOf(node)))
      .sort((one, other) => other.path.length - one.path.length)
      .flatMap((node) => ofEvent(node, step.event))
      .find((definition) => leadsTo(definition, step));
    if (found !== undefined) taken.add(found);
    else if (!isAtOnce(nodes, step)) strange.add(`${step.from}: ${step.event} → ${step.to}`);
  }
  const all = nodes.flatMap((node) => [...node.transitions.values()].flat());
  const missedStates = leaves.map(nameOf).filter((name) => !reached.has(name));
  const missedTransitions = all.filter((definition) => !taken.has(definition)).map(describe);
  return {
    states: [leaves.length - missedStates.length, leaves.length],
    transitions: [all.length - missedTransitions.length, all.length],
    missedStates,
    missedTransitions,
    strange: [...strange],
  };
}

/** Also those of a wildcard, as `xstate.error.*`. */
function ofEvent(node: AnyStateNode, event: string): AnyTransitionDefinition[] {
  return [...node.transitions].flatMap(([type, definitions]) => {
    const isMatch = type.endsWith('.*') ? event.startsWith(type.slice(0, -1)) : type === event;
    return isMatch ? [...definitions] : [];
  });
}

/** A step that a state takes by itself, in the wake of the event that led to it. */
function isAtOnce(nodes: readonly AnyStateNode[], { from, to }: Step): boolean {
  const own = nodes.find((node) => nameOf(node) === from)?.always ?? [];
  return own.some(({ target }) => target?.some((node) => isWithin(to, nameOf(node))));
}

function leadsTo({ target }: AnyTransitionDefinition, { from, to }: Step): boolean {
  if (target === undefined) return from === to;
  // A state with an immediate transition may have been left before anybody saw it.
  return target.some((node) => isWithin(to, nameOf(node)) || (node.always !== undefined && from !== to));
}

/** `alive.ready` lies within `alive`, and everything within the root. */
function isWithin(state: string, name: string): boolean {
  return name === '' || state === name || state.startsWith(`${name}.`);
}

function nameOf(node: AnyStateNode): string {
  return node.path.join('.');
}

function nodesOf(node: AnyStateNode): AnyStateNode[] {
  return [node, ...Object.values(node.states).flatMap((child) => nodesOf(child as AnyStateNode))];
}

/** For example `alive.ready: vm.exited → failed`. */
function describe({ source, eventType, target }: AnyTransitionDefinition): string {
  const to = target?.map((node) => nameOf(node)).join(', ') ?? 'itself';
  return `${nameOf(source) || 'anywhere'}: ${eventType} → ${to}`;
}
