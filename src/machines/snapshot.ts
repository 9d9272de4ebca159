import type { AnyStateMachine, AnyStateNode, Snapshot } from 'xstate';
import { z } from 'zod';
import { CocosError } from '../errors.ts';
import { ENCLAVE_LIMITS } from './enclave.events.ts';
import { enclaveMachine } from './enclave.machine.ts';
import { ComputationId } from './manifest.ts';

/**
 * Stored snapshots of machines. Each carries the version of its chart and context, so that a later program can migrate
 * it or refuse it with a reason.
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
  /** By source version. */
  readonly migrations: Readonly<Record<number, (snapshot: PersistedSnapshot) => PersistedSnapshot>>;
}

/** The machines whose snapshots are stored. A change of chart or context is a new version with a migration. */
export const SNAPSHOT_KINDS: Readonly<Record<string, SnapshotKind>> = {
  enclave: {
    machine: enclaveMachine,
    version: 6,
    migrations: {
      // Version 1 had no file for the guest's console.
      1: (snapshot) => ({ ...snapshot, context: { ...snapshot.context, logFile: null } }),
      // Version 2 had no boot step.
      2: (snapshot) => ({ ...snapshot, context: { ...snapshot.context, bootStep: null } }),
      // Version 3 had its limits in the chart.
      3: (snapshot) => ({ ...snapshot, context: { ...snapshot.context, limits: ENCLAVE_LIMITS } }),
      // Version 4 had another name for the effect `handshake`.
      4: (snapshot) => ({ ...snapshot, children: renameUnknown(snapshot.children, 'handshake') }),
      // Version 5 took the computation of an enclave without a manifest from what its guest claimed.
      5: (snapshot) => ({
        ...snapshot,
        context: { ...snapshot.context, computationId: manifestId(snapshot.context) },
      }),
    },
  },
};

/**
 * Migrates a stored snapshot to the present version.
 *
 * @throws CocosError SNAPSHOT_INVALID with the reason: an unknown machine, a version without a migration, or a state
 * that the chart does not have
 */
export function readSnapshot(machine: string, version: number, stored: unknown): Snapshot<unknown> {
  const kind = SNAPSHOT_KINDS[machine];
  if (kind === undefined) throw invalid(`snapshots of the machine '${machine}' are not stored`);
  const parsed = PersistedSnapshot.safeParse(stored);
  if (!parsed.success) throw invalid(`the snapshot of '${machine}' is malformed`);
  let snapshot = parsed.data;
  for (let at = version; at !== kind.version; at++) {
    const migrate = kind.migrations[at];
    if (migrate === undefined)
      throw invalid(`there is no migration of '${machine}' from version ${version} to ${kind.version}`);
    snapshot = migrate(snapshot);
  }
  if (!hasState(kind.machine.root, snapshot.value))
    throw invalid(`the chart of '${machine}' has no such state`);
  const begun = { ...snapshot, children: begunAnew(snapshot.children) };
  return { ...begun, output: undefined, error: undefined };
}

const WithManifest = z.looseObject({ manifest: z.looseObject({ id: ComputationId }) });

function manifestId(context: PersistedSnapshot['context']): string | null {
  return WithManifest.safeParse(context).data?.manifest.id ?? null;
}

/** Renames the one child whose name no effect of the chart has. */
function renameUnknown(children: PersistedSnapshot['children'], name: string): PersistedSnapshot['children'] {
  const known = enclaveMachine.implementations.actors;
  const entries = Object.entries(children).map(([id, child]) => {
    if (Object.hasOwn(known, id) || typeof child !== 'object') return [id, child];
    return [name, { ...child, src: name }];
  });
  return Object.fromEntries(entries);
}

const ThrownEffect = z.looseObject({ snapshot: z.looseObject({ status: z.literal('error') }) });

/** Restarts effects that had thrown before the snapshot: xstate would leave them dead without a report. */
function begunAnew(children: PersistedSnapshot['children']): PersistedSnapshot['children'] {
  const entries = Object.entries(children).map(([id, child]) => {
    const thrown = ThrownEffect.safeParse(child);
    if (!thrown.success) return [id, child];
    const snapshot = { ...thrown.data.snapshot, status: 'active', error: undefined };
    return [id, { ...thrown.data, snapshot }];
  });
  return Object.fromEntries(entries);
}

/** Whether the chart has this state: one child of each compound node, all children of each parallel node. */
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

/** Own states only: a stored name may be a property of the prototype. */
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
  return new CocosError('SNAPSHOT_INVALID', `The stored snapshot is refused: ${reason}.`);
}
