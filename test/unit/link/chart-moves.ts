import type { AnyStateMachine, AnyStateNode } from 'xstate';
import { MIRRORED, type MirroredKind } from '../../../src/machines/mirrored.ts';

/** Target states of one event in a flat chart, read from its definition: state names by `from event`. */
function movesOf(machine: AnyStateMachine): Map<string, Set<string>> {
  const moves = new Map<string, Set<string>>();
  for (const node of Object.values<AnyStateNode>(machine.root.states)) {
    for (const [type, definitions] of node.transitions) {
      const targets = definitions.flatMap(({ target }) => target ?? [node]);
      moves.set(`${node.key} ${type}`, new Set(targets.flatMap(settled)));
    }
  }
  return moves;
}

/** A state and the targets of its eventless transitions. */
function settled(node: AnyStateNode): string[] {
  return [node.key, ...(node.always ?? []).flatMap(({ target }) => target ?? []).flatMap(settled)];
}

const MOVES: Readonly<Record<MirroredKind, Map<string, Set<string>>>> = {
  computation: movesOf(MIRRORED.computation.machine),
  attestation: movesOf(MIRRORED.attestation.machine),
  transfer: movesOf(MIRRORED.transfer.machine),
};

/** Whether the chart has a transition for this event between these states. */
export function isCharted(kind: MirroredKind, from: unknown, event: string, to: unknown): boolean {
  return MOVES[kind].get(`${String(from)} ${event}`)?.has(String(to)) ?? false;
}
