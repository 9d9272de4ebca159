import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'lmdb';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { Store } from '../../src/manager/store/store.ts';
import {
  collect,
  makeParties,
  PROCESS_REFERENCE,
  processesWith,
  restartManager,
  show,
  startSystem,
  succeeded,
} from '../harness/system.ts';

/** A manager that dies at any point and comes back finds its enclaves, and no client sees a state go backwards. */

const ALGORITHM = `
import os, time
time.sleep(3)
with open(os.path.join(os.environ["COCOS_RESULTS"], "out"), "w") as f:
    f.write(open(os.path.join(os.environ["COCOS_DATASETS"], "one")).read())
`;

/** What the manager writes of an agent that it has started. */
const Record = z.object({ agent: z.object({ pid: z.number() }) });

const ORDER = ['receiving', 'ready', 'running', 'sealingResults', 'resultsReady', 'delivered'];

describe('a manager that is killed', () => {
  it('takes its enclave over at every point of a computation, which ends as it should', async () => {
    const system = await startSystem({ COCOSAI_MODE: 'process' });
    try {
      const parties = await makeParties(system, {
        algorithm: ALGORITHM,
        datasets: { one: 'one' },
        reference: PROCESS_REFERENCE,
      });
      succeeded(await system.cli('enclave', 'create', 'job', '--manifest', parties.manifest));
      const before = await show(system, 'job');
      const computation = `${before.address}/computation`;
      let seen = 0;
      const again = async () => {
        await restartManager(system);
        const after = await show(system, 'job');
        expect(after.context['pid']).toBe(before.context['pid']);
        const { state } = await show(system, computation);
        expect(ORDER.indexOf(state)).toBeGreaterThanOrEqual(seen);
        seen = ORDER.indexOf(state);
        await expect.poll(async () => (await show(system, 'job')).state).toBe('alive.ready');
      };
      await again();
      succeeded(await system.cli('algo', 'job', system.file('algorithm'), ...parties.trust('provider')));
      await again();
      succeeded(await system.cli('data', 'job', 'one', system.file('one'), ...parties.trust('provider')));
      await again();
      succeeded(await system.cli('run', 'job', ...parties.trust('consumer')));
      await again();
      const sealed = system.file('result');
      succeeded(await system.cli('result', 'get', 'job', '--out', sealed, ...parties.trust('consumer')));
      const opening = ['--out', system.file('opened'), ...parties.trust('consumer')];
      succeeded(await system.cli('result', 'open', sealed, ...opening));
      expect(readFileSync(system.file('opened', 'out'), 'utf8')).toBe('one');
      await again();
      await expect.poll(async () => (await show(system, computation)).state).toBe('delivered');
      succeeded(await system.cli('enclave', 'remove', 'job'));
    } finally {
      const { folder } = system;
      await system.stop();
      expect(processesWith(folder)).toEqual([]);
    }
  });

  it('ends what it had started of a guest and not written down, and starts the guest anew', async () => {
    const system = await startSystem({ COCOSAI_MODE: 'process' });
    // A disk that does not answer, so that the guest is started and the manager is not done with it.
    const key = system.file('state', 'emulated-root.json');
    const good = existsSync(key) ? readFileSync(key) : null;
    rmSync(key, { force: true });
    execFileSync('mkfifo', [key]);
    try {
      succeeded(await system.cli('enclave', 'create', 'half', '--no-wait'));
      const { address } = await show(system, 'half');
      const record = system.file('run', address.slice('enclave/'.length), 'ports', 'process.json');
      await expect.poll(() => existsSync(record)).toBe(true);
      expect((await show(system, 'half')).state).toBe('alive.launching');
      const { agent } = Record.parse(JSON.parse(readFileSync(record, 'utf8')));
      await restartManager(system, () => {
        rmSync(record);
        rmSync(key);
        if (good !== null) writeFileSync(key, good);
      });
      await expect.poll(async () => (await show(system, 'half')).state).toBe('alive.ready');
      expect((await show(system, 'half')).context['pid']).not.toBe(agent.pid);
      expect(existsSync(`/proc/${agent.pid}/exe`)).toBe(false);
    } finally {
      await system.stop();
    }
  });

  it('names an enclave whose guest ended meanwhile, and keeps the one beside it', async () => {
    const system = await startSystem({ COCOSAI_MODE: 'process' });
    try {
      succeeded(await system.cli('enclave', 'create', 'gone'));
      succeeded(await system.cli('enclave', 'create', 'stays'));
      const gone = await show(system, 'gone');
      const stays = await show(system, 'stays');
      await restartManager(system, () => process.kill(Number(gone.context['pid']), 'SIGKILL'));
      await expect.poll(async () => (await show(system, 'gone')).state).toBe('failed.settled');
      expect((await show(system, 'gone')).context['cause']).toMatchObject({ code: 'VM_EXITED' });
      await expect.poll(async () => (await show(system, 'stays')).state).toBe('alive.ready');
      expect((await show(system, 'stays')).context['pid']).toBe(stays.context['pid']);
    } finally {
      await system.stop();
    }
  });

  it('goes on stopping what it was stopping', async () => {
    const system = await startSystem({ COCOSAI_MODE: 'process' });
    try {
      succeeded(await system.cli('enclave', 'create', 'ending'));
      const stop = collect(system.spawnCli('enclave', 'stop', 'ending'));
      await restartManager(system);
      await stop;
      await expect
        .poll(async () => (await show(system, 'ending')).state)
        .toMatch(/^(stopped\.settled|alive\.ready)$/);
    } finally {
      await system.stop();
    }
  });

  it('leaves its guests running when it is told to keep them', async () => {
    const system = await startSystem({ COCOSAI_MODE: 'process', COCOSAI_ON_STOP: 'keep' });
    try {
      succeeded(await system.cli('enclave', 'create', 'kept'));
      const { pid } = (await show(system, 'kept')).context;
      await restartManager(system, undefined, 'SIGTERM');
      await expect.poll(async () => (await show(system, 'kept')).state).toBe('alive.ready');
      expect((await show(system, 'kept')).context['pid']).toBe(pid);
      succeeded(await system.cli('enclave', 'remove', 'kept'));
    } finally {
      await system.stop();
    }
  });
});

describe('a store', () => {
  it('sets one damaged and one unknown record aside, and moves an older one to the present form', async () => {
    const system = await startSystem({ COCOSAI_MODE: 'process' });
    try {
      for (const name of ['good', 'old', 'future', 'flipped'])
        succeeded(await system.cli('enclave', 'create', name));
      const ids = new Map<string, string>();
      for (const name of ['good', 'old', 'future', 'flipped']) {
        succeeded(await system.cli('enclave', 'stop', name));
        ids.set(name, (await show(system, name)).address);
      }
      await restartManager(system, async () => {
        const store = new Store(system.file('state', 'store'));
        for (const record of [...store.load('actor/')]) {
          if ('error' in record) throw record.error;
          const value = z.looseObject({ context: z.looseObject({}) }).parse(record.value);
          if (record.key.endsWith(ids.get('old') ?? '')) {
            // As version 1 wrote it.
            const { logFile: _, ...context } = value.context;
            await store.put(record.key, record.kind, 1, { ...value, context });
          }
          if (record.key.endsWith(ids.get('future') ?? ''))
            await store.put(record.key, record.kind, 99, value);
        }
        await store.close();
        flipBit(system.file('state', 'store'), `actor/${ids.get('flipped')}`);
      });
      const list = succeeded(await system.cli('enclave', 'list')).stdout;
      expect(list).toMatch(/good\s+stopped\.settled/);
      expect(list).toMatch(/old\s+stopped\.settled/);
      expect(list).not.toMatch(/future|flipped/);
      const log = readFileSync(system.file('manager.log'), 'utf8');
      expect(log).toContain(
        `a record was set aside","record":"actor/${ids.get('future')}","code":"SNAPSHOT_INVALID"`,
      );
      expect(log).toContain(
        `a record was set aside","record":"actor/${ids.get('flipped')}","code":"SNAPSHOT_INVALID"`,
      );
    } finally {
      await system.stop();
    }
  });
});

/** Flips one bit in the middle of a record, past what LMDB itself looks at. */
function flipBit(folder: string, key: string): void {
  const root = open<Buffer, string>({ path: folder, encoding: 'binary' });
  const bytes = Buffer.from(root.get(key) ?? []);
  bytes.writeUInt8(bytes.readUInt8(bytes.length >> 1) ^ 4, bytes.length >> 1);
  root.putSync(key, bytes);
  void root.close();
}
