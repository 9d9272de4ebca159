import type { AnyStateMachine, AnyStateNode, Snapshot } from 'xstate';
import { z } from 'zod';
import { CocosError } from '../errors.ts';
import { enclaveMachine } from './enclave.machine.ts';

/**
 * Snapshots of machines as they are stored: with the version of their chart and context, so that a later
 * program can move an older one to its own form, or refuse it by name.
 */

export const PersistedSnapshot = z.looseObject({
  status: z.enum(['active', 'done', 'error', 'stopped']),
  value: z.union([z.string(), z.record(z.string(), z.unknown())]),
  context: z.record(z.string(), z.unknown()),
  children: z.record(z.string(), z.unknown()).default({}),
});
export type PersistedSnapshot = z.infer<typeof PersistedSnapshot>;

interface SnapshotKind {
  readonly machine: AnyStateMachine;
  readonly version: number;
  /** By the version that they start from. */
  readonly migrations: Readonly<Record<number, (snapshot: PersistedSnapshot) => PersistedSnapshot>>;
}

/** The machines whose snapshots are stored. A change of chart or context is a new version with a migration. */
export const SNAPSHOT_KINDS: Readonly<Record<string, SnapshotKind>> = {
  enclave: {
    machine: enclaveMachine,
    version: 2,
    migrations: {
      // Version 1 did not know where the guest's console is written to.
      1: (snapshot) => ({ ...snapshot, context: { ...snapshot.context, logFile: null } }),
    },
  },
};

/**
 * A stored snapshot in the form of this program.
 *
 * @throws CocosError SNAPSHOT_INVALID naming what is wrong: an unknown machine, a version without a way to the
 * present one, or a state that the chart does not have.
 */
export function readSnapshot(machine: string, version: number, stored: unknown): Snapshot<unknown> {
  const kind = SNAPSHOT_KINDS[machine];
  if (kind === undefined) throw invalid(`no machine ${machine} is stored`);
  const parsed = PersistedSnapshot.safeParse(stored);
  if (!parsed.success) throw invalid(`a snapshot of ${machine} is malformed`);
  let snapshot = parsed.data;
  for (let at = version; at !== kind.version; at++) {
    const migrate = kind.migrations[at];
    if (migrate === undefined)
      throw invalid(`there is no way from version ${version} of ${machine} to ${kind.version}`);
    snapshot = migrate(snapshot);
  }
  if (!hasState(kind.machine.root, snapshot.value)) throw invalid(`${machine} has no such state`);
  return { ...snapshot, output: undefined, error: undefined };
}

function hasState(node: AnyStateNode, value: unknown): boolean {
  if (typeof value === 'string') return Object.hasOwn(node.states, value);
  if (typeof value !== 'object' || value === null) return false;
  return Object.entries(value).every(([name, inner]) => {
    const child: AnyStateNode | undefined = node.states[name];
    if (child === undefined) return false;
    const isLeaf = typeof inner === 'object' && inner !== null && Object.keys(inner).length === 0;
    return isLeaf || hasState(child, inner);
  });
}

function invalid(reason: string): CocosError {
  return new CocosError('SNAPSHOT_INVALID', `A stored record is refused: ${reason}.`);
}
