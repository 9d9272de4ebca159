import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readManagerConfig } from '../../src/manager/config.ts';
import { Manager } from '../../src/manager/manager.ts';
import { eventually } from '../harness/eventually.ts';
import { processesWith, ROOT } from '../harness/system.ts';

/** Enclaves whose machine throws: a fault of the program, which must stay where it is. */

let folder: string;
let manager: Manager;
const lines: string[] = [];

beforeEach(async () => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'cocos-t-'));
  const config = readManagerConfig(
    {
      ...{
        COCOSAI_MODE: 'process',
        COCOSAI_ON_STOP: 'stop',
      },
      ...{ COCOSAI_STATE_DIR: path.join(folder, 'state'), COCOSAI_RUN_DIR: path.join(folder, 'run') },
    },
    path.join(ROOT, 'dist'),
  );
  manager = await Manager.open(config, (_, message, fields) =>
    lines.push(`${message} ${JSON.stringify(fields)}`),
  );
  await manager.start();
});

afterEach(async () => {
  manager.requestStop();
  await manager.ended();
  expect(processesWith(folder)).toEqual([]);
  rmSync(folder, { recursive: true, force: true });
});

const request = (name: string) => ({
  name,
  mode: '',
  platform: '',
  vcpus: 0,
  memoryMiB: 0,
  manifestJson: '',
});

/** An event whose reading throws inside the machine. */
const poison = {
  type: 'boot.progressed',
  get step(): string {
    throw new Error('poisoned');
  },
} as const;

const stateOf = (address: string) => {
  const [view] = manager.directory.list(address);
  return view?.state;
};
const reaches = (address: string, state: string | undefined) =>
  eventually(() => expect(stateOf(address)).toBe(state));

describe('an enclave whose machine throws', () => {
  it('is restarted from what was stored of it, with the same guest, and moves no other', async () => {
    const [one, two] = [
      await manager.control.createEnclave(request('one')),
      await manager.control.createEnclave(request('two')),
    ];
    await Promise.all([reaches(one, 'alive.ready'), reaches(two, 'alive.ready')]);
    const { pid } = manager.directory.enclave(one);
    const seen: string[] = [];
    const unwatch = manager.directory.watch(two, (item) => seen.push(item.kind));
    manager.directory.send(one, poison);
    await eventually(() => expect(lines.some((line) => line.startsWith('an actor is restarted'))).toBe(true));
    await reaches(one, 'alive.ready');
    await manager.control.removeEnclave(two);
    unwatch();
    expect(manager.directory.enclave(one).pid).toBe(pid);
    expect(seen.filter((kind) => kind === 'removed').length).toBeGreaterThan(0);
    await manager.control.sendEvent(one, { type: 'enclave.stop' });
    await reaches(one, 'stopped.settled');
  });

  it('is failed in order when it throws too often', async () => {
    const address = await manager.control.createEnclave(request('often'));
    await reaches(address, 'alive.ready');
    for (let failure = 1; failure <= 4; failure++) {
      const thrown = manager.directory.actor(address);
      thrown.send(poison);
      // The next one goes to the actor that was started in its place.
      await eventually(() => expect(manager.directory.actor(address)).not.toBe(thrown));
    }
    await reaches(address, 'failed.settled');
    expect(manager.directory.enclave(address).cause?.message).toContain('failed too often');
  });
});
