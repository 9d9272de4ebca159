import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type HostileTables, hostileTables } from '../guest/hostile-tables.ts';
import { republisher } from '../guest/republisher.ts';
import {
  makeParties,
  type Parties,
  ROOT,
  type System,
  show,
  startSystem,
  succeeded,
} from '../harness/system.ts';

/** A host whose ACPI tables hold code: it must not run in the guest, and costs the guest nothing. */

const EOS = path.join(ROOT, 'build/eos');
const ALGORITHM = `
import os
with open(os.path.join(os.environ["COCOS_RESULTS"], "cpus"), "w") as f:
    f.write(str(len(os.sched_getaffinity(0))))
`;

type Kind = 'ssdt' | 'all';

const scratch = mkdtempSync(path.join(tmpdir(), 'cocos-a-'));
const qemu = z
  .string()
  .min(1)
  .parse(spawnSync('sh', ['-c', 'command -v qemu-system-x86_64'], { encoding: 'utf8' }).stdout.trim());
let tables: HostileTables;

beforeAll(() => {
  tables = hostileTables(scratch);
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

describe.each(['direct', 'uefi'] as const)('ACPI tables of a hostile host, %s boot', (boot) => {
  let system: System;
  let parties: Parties;
  const more = path.join(scratch, boot, 'arguments');

  beforeAll(async () => {
    // The manager's QEMU is one that takes more arguments than the manager gives.
    const programs = path.join(scratch, boot);
    mkdirSync(programs);
    writeFileSync(more, '');
    const script = `#!/bin/sh\nexec ${qemu} "$@" $(cat ${more})\n`;
    writeFileSync(path.join(programs, 'qemu-system-x86_64'), script, { mode: 0o755 });
    const searched = `${programs}:${process.env['PATH']}`;
    system = await startSystem({
      COCOSAI_MODE: 'vm',
      COCOSAI_BOOT: boot,
      COCOSAI_ACCEL: 'tcg',
      PATH: searched,
    });
    const name = boot === 'uefi' ? 'reference-values-uefi.json' : 'reference-values.json';
    const reference = path.join(EOS, name);
    parties = await makeParties(system, { algorithm: ALGORITHM, datasets: { one: '1\n' }, reference });
  });
  afterAll(async () => {
    await system.stop();
  });

  async function create(name: string, kind: Kind, vcpus: number): Promise<string> {
    writeFileSync(more, tables[kind].join(' '));
    const options = ['--manifest', parties.manifest, '--vcpus', String(vcpus)];
    // Succeeds when the enclave is ready.
    succeeded(await system.cli('enclave', 'create', name, ...options));
    const { context } = await show(system, name);
    const { pid, logFile: file } = z.object({ pid: z.number(), logFile: z.string() }).parse(context);
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    expect(command.slice(-1 - tables[kind].length, -1)).toEqual(tables[kind]);
    return readFileSync(file, 'latin1');
  }

  it.each([1, 2])('do not run as DSDT, PSDT and SSDT, with %s vCPUs', async (vcpus) => {
    const name = `all-${vcpus}`;
    expect(await create(name, 'all', vcpus)).not.toContain('BADAML');
    if (vcpus > 1) expect(await countedBy(name)).toBe(String(vcpus));
    succeeded(await system.cli('enclave', 'remove', name));
  });

  it('do not run as an SSDT beside the tables of QEMU', async () => {
    expect(await create('ssdt', 'ssdt', 2)).not.toContain('BADAML');
    succeeded(await system.cli('enclave', 'remove', 'ssdt'));
  });

  /** The vCPUs that an algorithm in the enclave may use. */
  async function countedBy(name: string): Promise<string> {
    const [provider, consumer] = [parties.trust('provider'), parties.trust('consumer')];
    succeeded(await system.cli('algo', name, system.file('algorithm'), ...provider));
    succeeded(await system.cli('data', name, 'one', system.file('one'), ...provider));
    succeeded(await system.cli('run', name, ...consumer));
    const sealed = system.file(`${name}.cocos`);
    succeeded(await system.cli('result', 'get', name, '--out', sealed, ...consumer));
    succeeded(await system.cli('result', 'open', sealed, '--out', system.file(name), ...consumer));
    return readFileSync(system.file(name, 'cpus'), 'utf8');
  }
});

/** What UEFI firmware says when it has nothing to boot, and then waits for ever. */
const GIVEN_UP = 'No bootable option or device was found';

/** A guest without a manager, until its console says `last` or it ends. Returns the console. */
async function boot(name: string, args: readonly string[], last: string): Promise<string> {
  const consolePath = path.join(scratch, `${name}.console`);
  const guest = spawn(
    qemu,
    [
      ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-M', 'q35', '-accel', 'tcg'],
      ...['-cpu', 'EPYC-v3', '-smp', '2', '-m', '256', ...args],
      ...[
        '-blockdev',
        `driver=raw,node-name=root,read-only=on,file.driver=file,file.filename=${EOS}/root.img`,
      ],
      ...['-device', 'virtio-blk-pci,drive=root'],
      ...['-chardev', `file,id=console,path=${consolePath}`, '-serial', 'chardev:console'],
    ],
    { stdio: 'ignore' },
  );
  const exited = once(guest, 'exit');
  const text = (): string => (existsSync(consolePath) ? readFileSync(consolePath, 'latin1') : '');
  const isOver = (): boolean =>
    guest.exitCode !== null || [last, GIVEN_UP].some((words) => text().includes(words));
  try {
    await expect.poll(isOver).toBe(true);
  } finally {
    guest.kill('SIGKILL');
    await exited;
  }
  return text();
}

describe('ACPI tables of a hostile host', () => {
  it('do not run under the firmware for TDX', async () => {
    const args = [
      '-bios',
      path.join(EOS, 'ovmf-tdx.fd'),
      '-kernel',
      path.join(EOS, 'eos.efi'),
      ...tables.ssdt,
    ];
    const text = await boot('tdx', args, 'COCOS-BOOT agent');
    expect(text).toContain('COCOS-BOOT agent');
    expect(text).not.toContain('BADAML');
  });

  it('do not run when the firmware publishes them again at the end of the boot services', async () => {
    const firmware = ['-bios', path.join(EOS, 'ovmf-tdx.fd')];
    const args = [...firmware, ...republisher(path.join(EOS, 'eos.efi'), scratch), ...tables.ssdt];
    const text = await boot('republished', args, 'COCOS-BOOT acpi');
    expect(text).toContain('REPUBLISHED');
    expect(text).toContain('COCOS-INIT-FAILED: acpi-fence: the firmware published other tables');
    expect(text).not.toContain('BADAML');
    expect(text).not.toContain('COCOS-BOOT');
  });

  it.each(['ssdt', 'all'] as const)(
    "run in the distributor's kernel without the fence, and init then ends the guest: %s",
    async (kind) => {
      const line = readFileSync(path.join(EOS, 'cmdline'), 'utf8');
      const files = ['-bios', path.join(EOS, 'bios.bin'), '-initrd', path.join(EOS, 'initrd.img')];
      const args = [...files, '-kernel', tables.stockKernel, '-append', line, ...tables[kind]];
      const text = await boot(kind, args, 'COCOS-BOOT modules');
      expect(text).toContain('BADAML');
      expect(text).toContain("COCOS-INIT-FAILED: acpi: tables that are not the guest's own");
      expect(text).not.toContain('COCOS-BOOT modules');
    },
  );

  it('are not reached by a loader that goes around the fence: the guest ends before its kernel says a word', async () => {
    const kernel = readFileSync(path.join(EOS, 'vmlinuz'));
    const around = path.join(scratch, 'around');
    // code32_start of the x86 boot protocol: the kernel's own 32-bit entry, which goes on to its 64-bit entry.
    kernel.writeUInt32LE(0x10_0000, 0x214);
    writeFileSync(around, kernel);
    const line = readFileSync(path.join(EOS, 'cmdline'), 'utf8').replace('quiet', 'earlyprintk=serial');
    const files = [
      '-bios',
      path.join(EOS, 'bios.bin'),
      '-initrd',
      path.join(EOS, 'initrd.img'),
      '-append',
      line,
    ];
    const word = 'Linux version';
    expect(await boot('through', [...files, '-kernel', path.join(EOS, 'vmlinuz')], word)).toContain(word);
    expect(await boot('around', [...files, '-kernel', around], word)).not.toContain(word);
  });
});
