import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { eventually } from '../../../harness/eventually.ts';
import { breakWire } from './broken-wire.ts';
import { eventTo, makeWorld, manifest, oneTo, storedSequences, type World } from './client-world.ts';

let world: World;
beforeEach(async () => {
  world = await makeWorld();
});
afterEach(() => world.close());

setFlagsFromString('--expose-gc');
const collectGarbage = z.function({ input: [], output: z.void() }).implement(runInNewContext('gc'));

const until = (check: () => boolean) => eventually(() => expect(check()).toBe(true));

describe('a run request', () => {
  it('is answered with the enclave that was made for it', async () => {
    await world.openManager();
    await world.service.define(manifest('c1'));
    await until(() => world.service.computations.get('c1')?.isAnswered === true);
    expect(world.service.computations.get('c1')?.enclaveId).toBe('enclave-of-c1');
  });

  it('is done once although it is asked for on every stream until the answer arrives', async () => {
    const onRun = vi.fn(async ({ id }: { id: string }) => {
      await sleep(400);
      return `enclave-of-${id}`;
    });
    const manager = await world.openManager({ onRun });
    await world.service.define(manifest('c1'));
    await until(() => onRun.mock.calls.length === 1);
    // The answer has nowhere to go, and the next stream asks again.
    await world.restartService();
    await until(() => world.service.computations.get('c1')?.isAnswered === true);
    await manager.close();
    await world.openManager({ onRun });
    expect(onRun).toHaveBeenCalledTimes(1);
  });

  it('is not done again by a manager that died before it could note the enclave', async () => {
    const died = await world.openManager({ onRun: () => new Promise<string>(() => undefined) });
    await world.service.define(manifest('c1'));
    await until(() => died.client.state === 'attached.live');
    await until(() => world.service.computations.get('c1')?.managerId === 'm1');
    await sleep(200);
    await died.close();
    const onRun = vi.fn(() => Promise.resolve('second'));
    await world.openManager({ onRun, findRun: (id) => (id === 'c1' ? 'first' : null) });
    await until(() => world.service.computations.get('c1')?.isAnswered === true);
    expect(world.service.computations.get('c1')?.enclaveId).toBe('first');
    expect(onRun).not.toHaveBeenCalled();
  });

  it('is refused by name when the outbox is nearly full', async () => {
    const manager = await world.openManager({}, 10);
    await manager.client.stop();
    for (let index = 0; index < 9; index++) await manager.outbox.append('old', eventTo('s'));
    vi.spyOn(manager.outbox, 'acknowledge').mockResolvedValue();
    manager.client.start();
    await world.service.define(manifest('c1'));
    await until(() => world.service.computations.get('c1')?.isAnswered === true);
    expect(world.service.computations.get('c1')?.refusal).toBe('OUTBOX_FULL');
  });
});

describe('a stop request', () => {
  it('is done after the run that it stops was accepted', async () => {
    const done: string[] = [];
    await world.openManager({
      onRun: async ({ id }) => {
        await sleep(200);
        done.push(`run ${id}`);
        return 'e';
      },
      onStop: (id) => {
        done.push(`stop ${id}`);
        return Promise.resolve();
      },
    });
    await Promise.all([world.service.define(manifest('c1')), world.service.stop('c1')]);
    await world.service.stop('c1');
    await until(() => world.service.computations.get('c1')?.stop === 'answered');
    expect(done).toEqual(['run c1', 'stop e']);
  });
});

describe('events', () => {
  it('of 50 computations arrive once and in order over streams that are cut, with restarts of both sides', async () => {
    // A fixed sequence of cuts, so that a failure comes again.
    let seed = 7;
    const random = () => {
      seed = (seed * 48_271) % 2_147_483_647;
      return seed / 2_147_483_647;
    };
    let isOver = false;
    const wire = await breakWire(world.port, () => (isOver ? null : 1_500 + Math.floor(random() * 15_000)));
    const address = { kind: 'tcp', host: '127.0.0.1', port: wire.port } as const;
    const ids = oneTo(50).map((index) => `c${index}`);
    let manager = await world.openManager({ address });
    let rounds = 0;
    // Longer where the machine is slow, so that enough streams are cut.
    while (rounds < 40 || (wire.cuts <= 5 && rounds < 400)) {
      rounds += 1;
      const round = rounds;
      await Promise.all(ids.map((id) => manager.outbox.append(id, eventTo(`round ${round}`))));
      // Longer than a back-off, so that the streams carry much of it in between.
      await sleep(60);
      if (round % 10 === 5) await world.restartService();
      if (round % 10 === 0) {
        await manager.close();
        manager = await world.openManager({ address });
      }
    }
    isOver = true;
    await until(() => manager.outbox.size === 0);
    expect(wire.cuts).toBeGreaterThan(5);
    const stored = storedSequences(await world.entries());
    expect([...stored.keys()].sort()).toEqual([...ids].sort());
    for (const sequences of stored.values()) expect(sequences).toEqual(oneTo(rounds));
    await wire.close();
  });

  it('made while the service is away, 100,000 of them, arrive on its return with flat memory', async () => {
    await world.service.close();
    const manager = await world.openManager();
    const COUNT = 100_000;
    for (let made = 0; made < COUNT; made += 1_000) {
      await Promise.all(oneTo(1_000).map((index) => manager.outbox.append(`c${index % 20}`, eventTo('s'))));
    }
    expect(manager.outbox.size).toBe(COUNT);
    const heapBefore = heapUsed();
    let heapMost = 0;
    let sampledAt = COUNT;
    await world.restartService();
    await until(() => {
      const { size } = manager.outbox;
      // A sample collects all garbage, so one for each part of the work, not for each moment of a slow machine.
      if (size <= sampledAt - COUNT / 20) {
        sampledAt = size;
        heapMost = Math.max(heapMost, heapUsed());
      }
      return size === 0;
    });
    // Held in memory, 100,000 events would take more than 20 MB.
    expect(heapMost - heapBefore).toBeLessThan(8_000_000);
    const stored = storedSequences(await world.entries());
    expect(stored.size).toBe(20);
    for (const sequences of stored.values()) expect(sequences).toEqual(oneTo(COUNT / 20));
  });
});

/** Bytes of the heap that are in use, without garbage. */
function heapUsed(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed;
}
