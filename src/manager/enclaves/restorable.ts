import type { Snapshot } from 'xstate';
import { EnclaveInput } from '../../machines/enclave.events.ts';
import type { enclaveMachine } from '../../machines/enclave.machine.ts';
import type { StoredEnclave } from '../store/recovery.ts';

type EnclaveLogic = typeof enclaveMachine;

/**
 * The enclave's chart, started from its stored snapshot where `find` returns one: XState spawns a child with an input
 * only.
 */
export function restorable(
  provided: EnclaveLogic,
  find: (input: EnclaveInput) => Snapshot<unknown> | null,
): EnclaveLogic {
  // A copy, since the provided machine is also the one that reads the stored snapshot.
  const machine = provided.provide({});
  const begin = machine.getInitialSnapshot.bind(machine);
  machine.getInitialSnapshot = (scope, input) => {
    const stored = find(EnclaveInput.parse(input));
    return stored === null ? begin(scope, input) : machine.restoreSnapshot(stored, scope);
  };
  return machine;
}

/** A root's first snapshot with the enclaves of an earlier run as its children. */
export function withEnclaves(root: Snapshot<unknown>, stored: readonly StoredEnclave[]): Snapshot<unknown> {
  const children = 'children' in root && typeof root.children === 'object' ? root.children : {};
  const enclaves = stored.map(({ address, snapshot }) => [
    address,
    { src: 'enclave', snapshot, systemId: address, syncSnapshot: false },
  ]);
  return Object.assign({}, root, { children: { ...children, ...Object.fromEntries(enclaves) } });
}
