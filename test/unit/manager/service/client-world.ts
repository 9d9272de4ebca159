import { mkdtempSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Entry } from '../../../../examples/service/journal.ts';
import { ReferenceService } from '../../../../examples/service/reference-service.ts';
import { IdempotencyStore } from '../../../../src/manager/service/idempotency-store.ts';
import { Outbox } from '../../../../src/manager/service/outbox.ts';
import type { OutboxEvent } from '../../../../src/manager/service/outbox-event.ts';
import { ServiceClient, type ServiceClientOptions } from '../../../../src/manager/service/service-client.ts';
import { openDatabase } from '../../../../src/manager/store/database.ts';
import { parseAddress } from '../../../../src/rpc/address.ts';

/** A reference service and a manager's side on one machine, with what their tests count. */

export const NO_TLS = { certificate: undefined, key: undefined, authority: undefined };

export function manifest(id: string, name = 'mean') {
  const digest = `sha256:${'0'.repeat(64)}`;
  const signing = `ed25519:${'A'.repeat(43)}`;
  return {
    ...{ version: 1, id, name, algorithm: { kind: 'wasm', digest, provider: signing }, datasets: [] },
    consumers: [{ signing, kem: `x25519:${'B'.repeat(43)}` }],
  };
}

export const eventTo = (to: string, address = 'enclave/1/computation'): OutboxEvent => ({
  ...{ atMs: 1_700_000_000_000, address, event: 'run.finished', from: 'running', to, contextJson: '{"a":1}' },
});

export interface World {
  readonly folder: string;
  service: ReferenceService;
  readonly port: () => number;
  /** Listens again at the same port on what the journal holds. */
  restartService(): Promise<void>;
  openManager(options?: Partial<ServiceClientOptions>, limit?: number): Promise<ManagerSide>;
  entries(): Promise<Entry[]>;
  close(): Promise<void>;
}

export interface ManagerSide {
  readonly client: ServiceClient;
  readonly outbox: Outbox;
  /** Ends it, as a process that ends would. */
  close(): Promise<void>;
}

export async function makeWorld(): Promise<World> {
  const folder = mkdtempSync(path.join(tmpdir(), 'cocosai-service-'));
  const file = path.join(folder, 'journal.jsonl');
  const listen = (address: string) =>
    ReferenceService.open({ address: parseAddress(address), tls: NO_TLS, file, serviceId: 'reference' });
  const managers = new Set<ManagerSide>();
  const first = await listen('tcp:127.0.0.1:0');
  const { address } = first;
  const world: World = {
    folder,
    service: first,
    port: () => Number(address.split(':')[2]),
    restartService: async () => {
      await world.service.close();
      world.service = await listen(address);
    },
    openManager: async (options = {}, limit = 1_000_000) => {
      const root = openDatabase(path.join(folder, 'store'));
      const outbox = await Outbox.open(root, limit);
      const client = new ServiceClient({
        ...{ address: parseAddress(address), tls: NO_TLS, managerId: 'm1', managerVersion: '0' },
        ...{ outbox, idempotency: new IdempotencyStore(root), jitter: () => 20 },
        onRun: ({ id }) => Promise.resolve(`enclave-of-${id}`),
        findRun: () => null,
        onStop: () => Promise.resolve(),
        endedRuns: () => [],
        onAcknowledged: () => Promise.resolve(),
        ...options,
      });
      client.start();
      const side: ManagerSide = {
        client,
        outbox,
        close: async () => {
          managers.delete(side);
          await client.stop();
          await root.close();
        },
      };
      managers.add(side);
      return side;
    },
    entries: async () => {
      const lines = (await readFile(file, 'utf8')).split('\n').filter((line) => line !== '');
      return lines.map((line) => Entry.parse(JSON.parse(line)));
    },
    close: async () => {
      await Promise.all([...managers].map((side) => side.close()));
      await world.service.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return world;
}

/** Sequence numbers that the service stored, by computation, in the order in which it stored them. */
export function storedSequences(entries: readonly Entry[]): Map<string, number[]> {
  const stored = new Map<string, number[]>();
  for (const entry of entries) {
    if (entry.kind !== 'event') continue;
    const sequences = stored.get(entry.computationId) ?? [];
    sequences.push(entry.sequence);
    stored.set(entry.computationId, sequences);
  }
  return stored;
}

export const oneTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1);
