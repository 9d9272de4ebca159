import type { AnyStateNode, StateValue } from 'xstate';
import { CocosError } from '../../errors.ts';

/** Queries about the nodes of a statechart without parallel states, for its compilation. */

export function nodesOf(node: AnyStateNode): AnyStateNode[] {
  return [node, ...childrenOf(node).flatMap(nodesOf)];
}

function childrenOf(node: AnyStateNode): AnyStateNode[] {
  return Object.values<AnyStateNode>(node.states);
}

/** Nearest first. */
export function ancestorsOf(node: AnyStateNode): AnyStateNode[] {
  const { parent } = node;
  return parent === undefined ? [] : [parent, ...ancestorsOf(parent)];
}

/** The states below `node` that are entered with it, outermost first. */
export function descent(node: AnyStateNode): AnyStateNode[] {
  if (node.type === 'atomic') return [];
  const [next] = node.initial.target;
  if (next === undefined || node.initial.actions.length > 0) throw beyond(node, 'an initial transition');
  const between = [next, ...ancestorsOf(next)].filter((each) => ancestorsOf(each).includes(node)).reverse();
  return [...between, ...descent(next)];
}

/** The state that stays active while a transition is taken. */
export function domainOf(source: AnyStateNode, target: AnyStateNode, reenter: boolean): AnyStateNode {
  if (!reenter && (target === source || ancestorsOf(target).includes(source))) return source;
  const common = ancestorsOf(target).find((each) => ancestorsOf(source).includes(each));
  if (common === undefined) throw beyond(source, 'a transition that leaves the root');
  return common;
}

export function stateValueOf(leaf: AnyStateNode): StateValue {
  return leaf.path
    .slice(0, -1)
    .reduceRight<StateValue>((inner, key) => ({ [key]: inner }), leaf.path.at(-1) ?? '');
}

export function requirePlain(node: AnyStateNode): void {
  if (node.type !== 'atomic' && node.type !== 'compound') throw beyond(node, `a ${node.type} state`);
  if (node.after.length > 0) throw beyond(node, 'a delayed transition');
  for (const type of node.transitions.keys()) if (type.includes('*')) throw beyond(node, 'a wildcard');
}

export function beyond(node: AnyStateNode, what: string): CocosError {
  return new CocosError('INTERNAL', `The chart of ${node.id} cannot be compiled: it has ${what}.`);
}
