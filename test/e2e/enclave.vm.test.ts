import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import {
  collect,
  makeParties,
  type Parties,
  processesWith,
  ROOT,
  type System,
  show,
  startSystem,
  succeeded,
} from '../harness/system.ts';

/** The main job and its worst interruption, in real virtual machines. */

const reference = path.join(ROOT, 'build/eos/reference-values.json');

const ALGORITHM = `
import os, json, socket, time
report = {}
with open(os.path.join(os.environ["COCOS_DATASETS"], "numbers")) as f:
    report["sum"] = sum(int(line) for line in f)
try:
    socket.socket(40, socket.SOCK_STREAM)
    report["vsock"] = "open"
except OSError as error:
    report["vsock"] = error.errno
report["interfaces"] = sorted(os.listdir("/sys/class/net")) if os.path.isdir("/sys/class/net") else []
report["uid"] = os.getuid()
with open("/proc/self/cgroup") as f:
    report["cgroup"] = f.read().strip()
with open(os.path.join(os.environ["COCOS_RESULTS"], "report.json"), "w") as f:
    json.dump(report, f)
print("the sum is in the result")
`;

const SLEEPER = 'import time\nprint("asleep", flush=True)\ntime.sleep(600)\n';
const GREEDY = 'held = []\nwhile True:\n    held.append(bytearray(8 * 1024 * 1024))\n';

async function create(system: System, parties: Parties, name: string) {
  succeeded(await system.cli('enclave', 'create', name, '--manifest', parties.manifest));
  const enclave = await show(system, name);
  return { ...enclave, pid: z.number().parse(enclave.context['pid']) };
}

async function upload(system: System, parties: Parties, name: string): Promise<void> {
  const provider = parties.trust('provider');
  succeeded(await system.cli('algo', name, system.file('algorithm'), ...provider));
  succeeded(await system.cli('data', name, 'numbers', system.file('numbers'), ...provider));
}

describe('an enclave in a virtual machine', () => {
  let system: System;
  let parties: Parties;

  beforeAll(async () => {
    system = await startSystem({ COCOSAI_MODE: 'vm' });
    const datasets = { numbers: '1\n2\n39\n' };
    parties = await makeParties(system, { algorithm: ALGORITHM, datasets, reference });
  });

  afterAll(async () => {
    const { folder } = system;
    expect(await system.stop()).toBe(0);
    expect(processesWith(folder)).toEqual([]);
  });

  it('computes, with a vsock device and no network device, and shows its transitions in order', async () => {
    const watch = system.spawnCli('enclave', 'watch', '-o', 'json');
    const watched = collect(watch);
    // The manager's own snapshot shows that the watch stands.
    if (watch.stdout !== null) await once(watch.stdout, 'data');
    const { pid, address } = await create(system, parties, 'main');

    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    const devices = command.filter((_, index) => command[index - 1] === '-device');
    expect(devices.some((device) => /vsock/.test(device))).toBe(true);
    expect(command[command.indexOf('-nic') + 1]).toBe('none');
    expect(devices.filter((device) => /net|e1000|rtl8139/.test(device))).toEqual([]);
    const opened = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkOf(`/proc/${pid}/fd/${fd}`));
    expect(opened.filter((target) => /\/net\/tun|vhost-net/.test(target))).toEqual([]);

    await upload(system, parties, 'main');
    succeeded(await system.cli('run', 'main', ...parties.trust('consumer')));
    const sealed = system.file('result.cocos');
    succeeded(await system.cli('result', 'get', 'main', '--out', sealed, ...parties.trust('consumer')));
    const opening = ['--out', system.file('opened'), ...parties.trust('consumer')];
    succeeded(await system.cli('result', 'open', sealed, ...opening));
    const report: unknown = JSON.parse(readFileSync(system.file('opened', 'report.json'), 'utf8'));
    // 97 is EAFNOSUPPORT: the algorithm has no way to a vsock port of the host.
    expect(report).toMatchObject({ sum: 42, vsock: 97, uid: 65534 });

    succeeded(await system.cli('enclave', 'stop', 'main'));
    watch.kill('SIGTERM');
    const Transition = z.object({
      transition: z.looseObject({
        sequence: z.number(),
        address: z.string(),
        event: z.string(),
        toState: z.string(),
        context: z.looseObject({ bootStep: z.string().nullish() }),
      }),
    });
    const transitions = (await watched).json.flatMap((line) => {
      const parsed = Transition.safeParse(line);
      return parsed.success ? [parsed.data.transition] : [];
    });
    const sequences = transitions.map((transition) => transition.sequence);
    expect(sequences).toEqual([...sequences].sort((a, b) => a - b));
    const states = transitions
      .filter((transition) => transition.address === address && transition.event !== 'boot.progressed')
      .map(({ toState }) => toState)
      // A busy machine may lose a heartbeat.
      .filter((state) => state !== 'alive.unreachable')
      .filter((state, index, all) => state !== all[index - 1]);
    const steps = transitions
      .filter((transition) => transition.address === address && transition.event === 'boot.progressed')
      .map(({ context }) => context.bootStep);
    expect(steps).toEqual([
      ...['start', 'acpi', 'modules', 'entropy', 'root-disk', 'root-verity', 'switch-root'],
      ...['mounts', 'cgroups', 'settings', 'agent'],
    ]);
    expect(states).toEqual([
      ...['requested', 'preparing', 'alive.launching', 'alive.booting', 'alive.connected', 'alive.ready'],
      ...['alive.stopping', 'stopped.cleaning', 'stopped.settled'],
    ]);
  });

  it('fails with its cause when QEMU is killed in mid-run, and leaves the one beside it alone', async () => {
    const asleep = await startSystemOf(SLEEPER);
    try {
      const victim = await create(asleep.system, asleep.parties, 'victim');
      const other = await create(asleep.system, asleep.parties, 'other');
      await upload(asleep.system, asleep.parties, 'victim');
      const runner = asleep.system.spawnCli('run', 'victim', ...asleep.parties.trust('consumer'));
      let told = '';
      runner.stderr?.on('data', (part: Buffer) => {
        told += part.toString();
      });
      const run = collect(runner);
      const watcher = asleep.system.spawnCli('enclave', 'watch', 'victim');
      const watch = collect(watcher);
      if (watcher.stdout !== null) await once(watcher.stdout, 'data');
      // The run starts by itself: only what it prints shows that its command is in the session too.
      await expect.poll(() => told).toContain('asleep');

      process.kill(victim.pid, 'SIGKILL');

      expect((await run).code).toBe(1);
      expect((await run).stderr).toMatch(/^VM_EXITED: .*SIGKILL/m);
      const watched = await watch;
      expect(watched.code).toBe(1);
      expect(watched.stdout).toContain('VM_EXITED');
      const failed = await show(asleep.system, 'victim');
      expect(failed.state).toBe('failed.settled');
      expect(failed.context['cause']).toMatchObject({ code: 'VM_EXITED', details: { signal: 'SIGKILL' } });
      const id = victim.address.slice('enclave/'.length);
      expect(processesWith(asleep.system.file('run', id))).toEqual([]);
      expect(readdirSync(asleep.system.file('run'))).not.toContain(id);
      const again = await asleep.system.cli(
        'data',
        'victim',
        'numbers',
        asleep.system.file('numbers'),
        ...asleep.parties.trust('provider'),
      );
      expect(again.code).toBe(1);
      expect(again.stderr).toMatch(/^ENCLAVE_FAILED/);

      expect(await show(asleep.system, 'other')).toMatchObject({ state: 'alive.ready' });
      expect((await show(asleep.system, 'other')).context['pid']).toBe(other.pid);
      await upload(asleep.system, asleep.parties, 'other');
    } finally {
      const { folder } = asleep.system;
      await asleep.system.stop();
      expect(processesWith(folder)).toEqual([]);
    }
  });

  it('holds the algorithm to its memory limit', async () => {
    const greedy = await startSystemOf(GREEDY, ['--limit', 'memoryMiB=64']);
    try {
      await create(greedy.system, greedy.parties, 'greedy');
      await upload(greedy.system, greedy.parties, 'greedy');
      const run = await greedy.system.cli('run', 'greedy', ...greedy.parties.trust('consumer'));
      expect(run.code).not.toBe(0);
      expect(run.stderr).toMatch(/^ALGORITHM_LIMIT: .*memory/m);
      expect(await show(greedy.system, 'greedy')).toMatchObject({ state: 'alive.ready' });
    } finally {
      await greedy.system.stop();
    }
  });
});

async function startSystemOf(algorithm: string, manifest: readonly string[] = []) {
  const system = await startSystem({ COCOSAI_MODE: 'vm' });
  const parties = await makeParties(system, { algorithm, datasets: { numbers: '1\n' }, reference, manifest });
  return { system, parties };
}

function readlinkOf(file: string): string {
  try {
    return readlinkSync(file);
  } catch {
    return '';
  }
}
