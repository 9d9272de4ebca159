import { readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Snapshot } from 'xstate';
import { z } from 'zod';
import { CocosError } from '../../errors.ts';
import { EnclaveInput } from '../../machines/enclave.events.ts';
import { readSnapshot, SNAPSHOT_KINDS } from '../../machines/snapshot.ts';
import { commandOf, isOwn } from '../guests/vm/host-process.ts';
import type { Log } from '../log.ts';
import type { Store, Writes } from './store.ts';

/** What an earlier run of the manager left: records of its enclaves, and processes. */

const PREFIX = 'actor/';

export function actorKey(address: string): string {
  return `${PREFIX}${address}`;
}

export interface StoredEnclave {
  readonly address: string;
  readonly snapshot: Snapshot<unknown>;
}

/** Writes an enclave's machine, in a transaction of the caller. */
export function writeEnclave(writes: Writes, address: string, snapshot: unknown): void {
  writes.put(actorKey(address), 'enclave', SNAPSHOT_KINDS['enclave']?.version ?? 1, snapshot);
}

/** The enclave's folders, which are removed with it, follow from its id. */
const WithId = z.looseObject({ context: z.looseObject({ id: EnclaveInput.shape.id }) });

/** Every enclave that can be brought back. One that cannot is set aside and named, and the rest goes on. */
export async function loadEnclaves(store: Store, log: Log): Promise<StoredEnclave[]> {
  const loaded: StoredEnclave[] = [];
  for (const record of [...store.load(PREFIX)]) {
    try {
      if ('error' in record) throw record.error;
      const address = record.key.slice(PREFIX.length);
      const snapshot = readSnapshot(record.kind, record.version, record.value);
      const id = WithId.safeParse(snapshot).data?.context.id;
      if (id === undefined || address !== `enclave/${id}`) {
        throw new CocosError('SNAPSHOT_INVALID', `The record ${record.key} holds another enclave.`);
      }
      loaded.push({ address, snapshot });
    } catch (thrown) {
      const error = CocosError.from(thrown);
      log('error', 'a record was set aside', { record: record.key, code: error.code, reason: error.message });
      await store.setAside(record.key);
    }
  }
  return loaded;
}

/** What was stored of one enclave last; null when it cannot be brought back. */
export function loadEnclave(store: Store, address: string): Snapshot<unknown> | null {
  for (const record of store.load(actorKey(address))) {
    if (record.key !== actorKey(address) || 'error' in record) continue;
    try {
      return readSnapshot(record.kind, record.version, record.value);
    } catch {
      return null;
    }
  }
  return null;
}

const STARTS_KEY = 'starts';
/** Sequence numbers that one run of the manager may use; the next run begins above them. */
const SEQUENCES_PER_START = 2 ** 32;

/** The first of this run's own sequence numbers: none was published in an earlier run. */
export async function nextSequences(store: Store): Promise<number> {
  const [before] = [...store.load(STARTS_KEY)];
  const starts =
    before !== undefined && 'value' in before && typeof before.value === 'number' ? before.value : 0;
  await store.put(STARTS_KEY, 'starts', 1, starts + 1);
  return starts * SEQUENCES_PER_START;
}

/** By their command lines; of an agent in process mode by its environment. */
const SERVES_A_GUEST = /qemu-system|vhost-device-vsock|swtpm|COCOS_SOCKETS=/;
const GONE_LIMIT_MS = 5_000;
const GONE_POLL_MS = 20;

export interface OrphanProcess {
  readonly pid: number;
  /** Id of the enclave that it was started for. */
  readonly enclave: string;
}

/** Processes of this user that serve guests under this run folder, but belong to none of these enclaves. */
export function findOrphans(runDir: string, enclaves: ReadonlySet<string>): OrphanProcess[] {
  return guestProcesses(runDir).filter(({ enclave }) => !enclaves.has(enclave));
}

/**
 * Kills orphaned processes of an enclave with no recorded guest: a manager that was killed while it started the guest
 * has left parts that it did not record.
 */
export async function endUnrecorded(runDir: string, enclave: string): Promise<void> {
  const left = () => guestProcesses(runDir).filter((each) => each.enclave === enclave);
  const limit = performance.now() + GONE_LIMIT_MS;
  for (let found = left(); found.length > 0 && performance.now() < limit; found = left()) {
    for (const { pid } of found) endOrphan(pid);
    await sleep(GONE_POLL_MS);
  }
}

/** Ends a process at once; one that has ended is no error. */
export function endOrphan(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended in the meantime.
  }
}

function guestProcesses(runDir: string): OrphanProcess[] {
  const place = new RegExp(`${runDir.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}/([0-9a-z]+)/`);
  return readdirSync('/proc').flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return [];
    const pid = Number(entry);
    const command = isOwn(pid) ? commandOf(pid) : '';
    const [, enclave] = place.exec(command) ?? [];
    if (enclave === undefined || !SERVES_A_GUEST.test(command)) return [];
    return [{ pid, enclave }];
  });
}
