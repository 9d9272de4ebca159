import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CocosError } from '../../../src/errors.ts';
import type { MirrorSet } from '../../../src/link/mirror/mirror.ts';
import { type DrivenManager, driveManager } from './driven-manager.ts';
import { manifest } from './service/client-world.ts';

/** Which computation an enclave is for, against guests that claim another one. */

let driven: DrivenManager;
beforeEach(async () => {
  // Nobody listens there: whatever is for the service stays in the outbox.
  driven = await driveManager({ COCOSAI_SERVICE: 'unix:/nowhere/service.sock' });
});
afterEach(() => driven.close());

const digest = `sha256:${'0'.repeat(64)}`;

/** What an agent journals whose computation has accepted this manifest. */
function claim(mirrors: MirrorSet, of: string): void {
  mirrors.apply({ kind: 'started', address: 'computation', input: null });
  const event = { type: 'manifest.accepted', manifest: fullManifest(of), digest, atMs: 1 };
  mirrors.apply({ kind: 'event', address: 'computation', event });
}

const fullManifest = (id: string) => ({
  ...manifest(id),
  ...{ algorithm: { ...manifest(id).algorithm, arguments: [] }, start: 'auto', stop: [] },
  limits: { seconds: 3600, memoryMiB: 256, diskMiB: 256, processes: 64 },
});

/** Publishes a computation that waits for its manifest. */
async function begin(address: string): Promise<void> {
  driven.mirrorsOf(address).apply({ kind: 'started', address: 'computation', input: null });
  await driven.manager.directory.settled();
}

const deliver = (address: string, id: string) =>
  driven.manager.control.sendEvent(`${address}/computation`, {
    ...{ type: 'manifest.deliver', manifest: manifest(id) },
  });

/** Addresses whose events wait for the service as those of a computation. */
async function exported(computationId: string): Promise<Set<string>> {
  await driven.manager.directory.settled();
  const waiting = driven.manager['exporter']?.['outbox'].unacknowledged(null, 1_000) ?? [];
  const own = waiting.filter((each) => each.computationId === computationId);
  return new Set(own.map(({ event }) => event.address.split('/').slice(0, 2).join('/')));
}

describe('the computation of an enclave', () => {
  it('a guest that was given no manifest speaks for no computation, whatever it claims', async () => {
    const forger = await driven.create('forger');
    const victim = await driven.create('victim', manifest('c1'));
    claim(driven.mirrorsOf(forger), 'c1');
    const { control } = driven.manager;
    expect([control.computationOf(forger), control.findByComputation('c1')]).toEqual([null, victim]);
    expect(await exported('c1')).toEqual(new Set([victim]));
  });

  it('a guest that was given another manifest keeps its own computation', async () => {
    const forger = await driven.create('forger');
    await begin(forger);
    await deliver(forger, 'c2');
    const victim = await driven.create('victim', manifest('c1'));
    claim(driven.mirrorsOf(forger), 'c1');
    const { control } = driven.manager;
    expect([control.computationOf(forger), control.findByComputation('c1')]).toEqual(['c2', victim]);
    expect(await exported('c1')).toEqual(new Set([victim]));
    expect(await exported('c2')).toEqual(new Set([forger]));
  });

  it('a manifest of another computation is not delivered to an enclave that has one', async () => {
    const made = await driven.create('made', manifest('c1'));
    await begin(made);
    await expect(deliver(made, 'c2')).rejects.toMatchObject({ code: 'STATE_EVENT_ILLEGAL' });
    expect(driven.command).not.toHaveBeenCalled();
  });

  it('a manifest that the agent refuses gives the enclave no computation', async () => {
    const made = await driven.create('made');
    await begin(made);
    driven.command.mockRejectedValueOnce(new CocosError('MANIFEST_INVALID', 'planted'));
    await expect(deliver(made, 'c1')).rejects.toMatchObject({ code: 'MANIFEST_INVALID' });
    expect(driven.manager.control.computationOf(made)).toBeNull();
    await deliver(made, 'c2');
    expect(driven.manager.control.computationOf(made)).toBe('c2');
  });

  it('a manifest whose delivery is uncertain counts as delivered, and can be delivered again', async () => {
    const made = await driven.create('made');
    await begin(made);
    driven.command.mockRejectedValueOnce(new CocosError('LINK_LOST', 'planted'));
    await expect(deliver(made, 'c1')).rejects.toMatchObject({ code: 'LINK_LOST' });
    expect(driven.manager.control.computationOf(made)).toBe('c1');
    await expect(deliver(made, 'c2')).rejects.toMatchObject({ code: 'STATE_EVENT_ILLEGAL' });
    await deliver(made, 'c1');
  });
});
