import type { AnyStateMachine, AnyStateNode, Snapshot } from 'xstate';
import { z } from 'zod';
import { CocosError } from '../errors.ts';
import { ENCLAVE_LIMITS } from './enclave.events.ts';
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
    version: 5,
    migrations: {
      // Version 1 did not know where the guest's console is written to.
      1: (snapshot) => ({ ...snapshot, context: { ...snapshot.context, logFile: null } }),
      // Version 2 did not know how far the boot had come.
      2: (snapshot) => ({ ...snapshot, context: { ...snapshot.context, bootStep: null } }),
      // Version 3 had its limits in the chart.
      3: (snapshot) => ({ ...snapshot, context: { ...snapshot.context, limits: ENCLAVE_LIMITS } }),
      // Version 4 had another name for the effect that makes an agent ready; the others kept theirs.
      4: (snapshot) => ({ ...snapshot, children: renameUnknown(snapshot.children, 'handshake') }),
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
  const begun = { ...snapshot, children: begunAnew(snapshot.children) };
  return { ...begun, output: undefined, error: undefined };
}

/** Children under an effect's new name: the one that no effect of the chart has is the one that was renamed. */
function renameUnknown(children: PersistedSnapshot['children'], name: string): PersistedSnapshot['children'] {
  const known = enclaveMachine.implementations.actors;
  const entries = Object.entries(children).map(([id, child]) => {
    if (Object.hasOwn(known, id) || typeof child !== 'object') return [id, child];
    return [name, { ...child, src: name }];
  });
  return Object.fromEntries(entries);
}

const ThrownEffect = z.looseObject({ snapshot: z.looseObject({ status: z.literal('error') }) });

/** An effect that had thrown when its machine was stored would stay dead for good, without a word. */
function begunAnew(children: PersistedSnapshot['children']): PersistedSnapshot['children'] {
  const entries = Object.entries(children).map(([id, child]) => {
    const thrown = ThrownEffect.safeParse(child);
    if (!thrown.success) return [id, child];
    const snapshot = { ...thrown.data.snapshot, status: 'active', error: undefined };
    return [id, { ...thrown.data, snapshot }];
  });
  return Object.fromEntries(entries);
}

/** Whether a chart can be in this state: one child for each compound node, all of them for each parallel one. */
function hasState(node: AnyStateNode, value: unknown): boolean {
  if (typeof value === 'string') return isLeaf(childOf(node, value));
  if (typeof value !== 'object' || value === null) return false;
  const entries = Object.entries(value);
  if (entries.length !== (node.type === 'parallel' ? Object.keys(node.states).length : 1)) return false;
  return entries.every(([name, inner]) => {
    const child = childOf(node, name);
    return isEmpty(inner) ? isLeaf(child) : child !== undefined && hasState(child, inner);
  });
}

/** Own states alone: a stored name may be one of an object's prototype. */
function childOf(node: AnyStateNode, name: string): AnyStateNode | undefined {
  return Object.hasOwn(node.states, name) ? node.states[name] : undefined;
}

function isLeaf(node: AnyStateNode | undefined): boolean {
  return node !== undefined && Object.keys(node.states).length === 0;
}

function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}

function invalid(reason: string): CocosError {
  return new CocosError('SNAPSHOT_INVALID', `A stored record is refused: ${reason}.`);
}
