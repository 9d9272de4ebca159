import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import {
  makeParties,
  type Parties,
  processesWith,
  ROOT,
  restartManager,
  type System,
  show,
  startSystem,
  succeeded,
} from '../harness/system.ts';
import { until } from '../harness/until.ts';

/** The processes that serve a virtual machine die before it. */

const reference = path.join(ROOT, 'build/eos/reference-values.json');
const PATIENCE = { limitMs: 600_000, everyMs: 200 };
const Process = z.object({ pid: z.int() });
const Record = z.object({ qemu: Process, vtpm: Process, vsock: z.object({ daemon: Process }) });

describe('a virtual machine that lives on without what serves it', () => {
  let system: System;
  let parties: Parties;

  beforeAll(async () => {
    system = await startSystem({ COCOSAI_MODE: 'vm' });
    parties = await makeParties(system, { algorithm: 'pass\n', datasets: { numbers: '1\n' }, reference });
  });

  afterAll(async () => {
    const { folder } = system;
    await system.stop();
    expect(processesWith(folder)).toEqual([]);
  });

  async function create(name: string) {
    succeeded(await system.cli('enclave', 'create', name, '--manifest', parties.manifest));
    const { address } = await show(system, name);
    const run = system.file('run', address.replace('enclave/', ''));
    return { run, ...Record.parse(JSON.parse(readFileSync(path.join(run, 'vm.json'), 'utf8'))) };
  }

  async function expectLost(name: string, device: 'vtpm' | 'vsock', signal: string | null): Promise<void> {
    await until(
      `the failure of ${name}`,
      async () => (await show(system, name)).state === 'failed.settled',
      PATIENCE,
    );
    const { context } = await show(system, name);
    expect(context['cause']).toMatchObject({ code: 'VM_DEVICE_LOST', details: { device, signal } });
  }

  it.each(['vtpm', 'vsock'] as const)('is failed with the %s named, and ended', async (device) => {
    const record = await create(device);
    process.kill({ vtpm: record.vtpm, vsock: record.vsock.daemon }[device].pid, 'SIGKILL');
    await expectLost(device, device, 'SIGKILL');
    expect(processesWith(record.run)).toEqual([]);
  });

  it('is failed the same way by a manager that was not there when it happened', async () => {
    const record = await create('unseen');
    await restartManager(system, () => process.kill(record.vtpm.pid, 'SIGKILL'));
    await expectLost('unseen', 'vtpm', null);
    expect(processesWith(record.run)).toEqual([]);
  });
});
