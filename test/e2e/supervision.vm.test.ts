import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { readManagerConfig } from '../../src/manager/config.ts';
import { Manager } from '../../src/manager/manager.ts';
import { eventually } from '../harness/eventually.ts';
import { readTrace } from '../harness/read-trace.ts';
import { processesWith, ROOT, restartManager, show, startSystem, succeeded } from '../harness/system.ts';

/** QEMU serves one QMP client at a time, and nobody may take a QMP that does not answer for a dead guest. */

/** An event whose reading throws inside the machine. */
const poison = {
  type: 'boot.progressed',
  get step(): string {
    throw new Error('poisoned');
  },
} as const;

/** How many links this process has brought up. */
function liveLinks(trace: string, manager: number | undefined): number {
  const live = readTrace(trace).filter(
    ({ pid, machine, to }) => pid === manager && machine === 'link' && to === 'attached.live',
  );
  return live.length;
}

describe('a running virtual machine', () => {
  it('keeps its QEMU process when the machine of its enclave throws and is restarted', async () => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'cocos-t-'));
    const trace = path.join(folder, 'trace');
    const config = readManagerConfig(
      {
        ...process.env,
        ...{ COCOSAI_MODE: 'vm', COCOSAI_ON_STOP: 'stop', COCOSAI_TRACE: trace },
        ...{ COCOSAI_STATE_DIR: path.join(folder, 'state'), COCOSAI_RUN_DIR: path.join(folder, 'run') },
      },
      path.join(ROOT, 'dist'),
    );
    const manager = await Manager.open(config, () => undefined);
    try {
      await manager.start();
      const request = { name: 'one', mode: '', platform: '', vcpus: 0, memoryMiB: 0, manifestJson: '' };
      const address = await manager.control.createEnclave(request);
      const reaches = async (state: string) => {
        const hasEnded = () => manager.directory.view(address).state.startsWith('failed');
        await eventually(() => {
          if (!hasEnded()) expect(manager.directory.view(address).state).toBe(state);
        });
        expect(manager.directory.view(address).state).toBe(state);
      };
      await reaches('alive.ready');
      const { pid } = manager.directory.enclave(address);
      for (let restart = 1; restart <= 2; restart++) {
        const events: string[] = [];
        const unwatch = manager.directory.watch(address, (item) => {
          if (item.kind === 'transition' && item.transition.address === address)
            events.push(item.transition.event);
        });
        manager.directory.send(address, poison);
        // The snapshot that it begins with is ready already: a new link shows that it has the guest.
        await eventually(() => {
          if (manager.directory.view(address).state.startsWith('failed')) return;
          expect(liveLinks(trace, process.pid)).toBe(restart + 1);
        });
        await reaches('alive.ready');
        unwatch();
        // No step of the boot was read and reported again.
        expect(events.filter((event) => event === 'boot.progressed')).toEqual([]);
        expect(manager.directory.enclave(address).pid).toBe(pid);
      }
      await manager.control.sendEvent(address, { type: 'enclave.stop' });
      await reaches('stopped.settled');
    } finally {
      manager.requestStop();
      await manager.ended();
      expect(processesWith(folder)).toEqual([]);
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('is taken over by a new manager although another client holds its QMP', async () => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'cocos-trace-'));
    const trace = path.join(folder, 'trace');
    const system = await startSystem({ COCOSAI_MODE: 'vm', COCOSAI_TRACE: trace });
    try {
      succeeded(await system.cli('enclave', 'create', 'held'));
      const { address, context } = await show(system, 'held');
      const qmp = system.file('run', address.slice('enclave/'.length), 'qmp.sock');
      let holder: net.Socket | null = null;
      await restartManager(system, async () => {
        holder = net.connect(qmp);
        await once(holder, 'data');
      });
      // The state that is stored is ready already: the new manager's own link shows that it has the guest.
      await eventually(async () => {
        if ((await show(system, 'held')).state.startsWith('failed')) return;
        expect(liveLinks(trace, system.manager.pid)).toBe(1);
      });
      expect((await show(system, 'held')).state).toBe('alive.ready');
      expect((await show(system, 'held')).context['pid']).toBe(context['pid']);
      expect(holder).not.toBeNull();
      succeeded(await system.cli('enclave', 'remove', 'held'));
    } finally {
      await system.stop();
      rmSync(folder, { recursive: true, force: true });
      expect(processesWith(system.folder)).toEqual([]);
    }
  });
});
