import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CocosError } from '../../../../src/errors.ts';
import { deviceLost } from '../../../../src/manager/guests/vm/device-watch.ts';
import { type HostProcess, startHostProcess } from '../../../../src/manager/guests/vm/host-process.ts';

/** Real processes that only wait stand in for QEMU, swtpm and the vsock daemon. */

describe('deviceLost', () => {
  let folder: string;
  let qemu: HostProcess;
  let vtpm: HostProcess;
  let vsock: HostProcess;
  let asked: string[];
  let told: CocosError | null;

  const start = (): Promise<HostProcess> => startHostProcess('sleep', ['60'], join(folder, 'log'));
  const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 100));

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'cocos-w-'));
    [qemu, vtpm, vsock] = await Promise.all([start(), start(), start()]);
    asked = [];
    told = null;
  });

  afterEach(async () => {
    await Promise.all([qemu, vtpm, vsock].map((process) => process.end()));
    rmSync(folder, { recursive: true });
  });

  function watch(answer: () => Promise<unknown>): Promise<CocosError> {
    const execute = (command: string): Promise<unknown> => {
      asked.push(command);
      return answer();
    };
    const lost = deviceLost({ qemu, qmp: { execute }, vtpm, vsock }, new AbortController().signal);
    lost.then((error) => {
      told = error;
    }, undefined);
    return lost;
  }

  it.each(['vtpm', 'vsock'] as const)('names the %s that was killed while QEMU lives', async (device) => {
    const lost = watch(() => Promise.resolve({}));
    process.kill({ vtpm, vsock }[device].identity.pid, 'SIGKILL');
    expect((await lost).toJSON()).toMatchObject({
      code: 'VM_DEVICE_LOST',
      details: { device, exitCode: null, signal: 'SIGKILL' },
    });
    expect(asked).toEqual(['query-status']);
  });

  it('says nothing while all of them live', async () => {
    void watch(() => Promise.resolve({}));
    await settle();
    expect(told).toBeNull();
  });

  it('says nothing of what ended because QEMU did', async () => {
    void watch(async () => {
      await qemu.end();
      throw new Error('closed');
    });
    await Promise.all([vtpm.end(), vsock.end()]);
    await settle();
    expect(asked).toHaveLength(2);
    expect(told).toBeNull();
  });

  it('says nothing when QEMU is on its way out and ends a little later', async () => {
    void watch(() => Promise.reject(new Error('closed')));
    await vtpm.end();
    await settle();
    expect(told).toBeNull();
    await qemu.end();
    await settle();
    expect(told).toBeNull();
  });

  it('counts a QEMU that hangs as alive', async () => {
    const lost = watch(() => Promise.reject(new Error('no answer')));
    process.kill(vsock.identity.pid, 'SIGKILL');
    expect((await lost).code).toBe('VM_DEVICE_LOST');
  });
});
