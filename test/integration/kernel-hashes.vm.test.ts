import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { kernelHashesTable } from '../../src/attestation/measure/kernel-hashes.ts';
import { readOvmfMetadata } from '../../src/attestation/measure/ovmf.ts';
import { attestationCrypto } from '../../src/crypto/attestation-crypto.ts';
import { hostileTables } from '../guest/hostile-tables.ts';
import { testImage, whyNoGuests } from '../guest/test-image.ts';
import { watchForSpin } from '../harness/spin-watch.ts';

/**
 * The firmware of SEV-SNP itself as the judge of our table of kernel hashes, which is what a launch digest covers. QEMU
 * writes that table under SEV alone, so here it is put into the guest's memory where the firmware looks for it.
 */

const reason = whyNoGuests();
if (reason !== null) console.warn(`tests of the kernel hashes are skipped: ${reason}`);

const MEMORY = 512 * 1024 * 1024;
const BOOTED = 'COCOS-BOOT root-verity';

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

describe.skipIf(reason !== null)('the firmware of SEV-SNP', () => {
  let folder: string;
  let scratch: string;
  let hostile: readonly string[];
  let hashes: { kernel: string; initrd: string; commandLine: string };
  const at = (name: string): string => join(folder, name);

  beforeAll(() => {
    folder = dirname(testImage('eos').kernel);
    scratch = mkdtempSync(join(tmpdir(), 'cocos-k-'));
    hostile = hostileTables(scratch).ssdt;
    const initrd = readFileSync(at('initrd.img'));
    hashes = {
      kernel: sha256(asLoadedWithoutSev(readFileSync(at('vmlinuz')), initrd.length)),
      initrd: sha256(initrd),
      commandLine: readFileSync(at('cmdline'), 'utf8'),
    };
  });
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  /** Whether a guest whose memory holds this table opens its root image, or its firmware goes no further for ever. */
  async function boot(name: string, table: typeof hashes): Promise<'booted' | 'halted'> {
    const gpa = readOvmfMetadata(readFileSync(at('ovmf-amdsev.fd')))?.hashesTable;
    const file = join(scratch, `${name}.table`);
    const consolePath = join(scratch, `${name}.console`);
    const qmpPath = join(scratch, `${name}.qmp`);
    writeFileSync(file, kernelHashesTable(table, attestationCrypto));
    const commandLine = readFileSync(at('cmdline'), 'utf8');
    const qemu = spawn(
      'qemu-system-x86_64',
      [
        ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-M', 'q35', '-accel', 'tcg'],
        ...['-cpu', 'Nehalem', '-m', String(MEMORY / 1024 / 1024), '-bios', at('ovmf-amdsev.fd')],
        ...['-kernel', at('vmlinuz'), '-initrd', at('initrd.img'), '-append', commandLine],
        ...['-device', `loader,file=${file},addr=0x${gpa?.toString(16)},force-raw=on`],
        ...['-drive', `file=${at('root.img')},format=raw,if=none,id=root,readonly=on`],
        ...['-device', 'virtio-blk-pci,drive=root'],
        ...['-chardev', `file,id=console,path=${consolePath}`, '-serial', 'chardev:console'],
        ...['-qmp', `unix:${qmpPath},server=on,wait=off`, ...hostile],
      ],
      { stdio: 'ignore' },
    );
    const exited = new Promise<void>((resolve) => qemu.once('exit', () => resolve()));
    const spins = watchForSpin(qemu.pid ?? 0, qmpPath);
    try {
      for (;;) {
        if (qemu.exitCode !== null) throw new Error(`QEMU ended with ${qemu.exitCode}`);
        if (existsSync(consolePath) && readFileSync(consolePath, 'latin1').includes(BOOTED)) return 'booted';
        if (existsSync(qmpPath) && (await spins())) return 'halted';
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    } finally {
      qemu.kill('SIGKILL');
      await exited;
    }
  }

  it('boots with the table that we compute, and runs no ACPI code of the host', async () => {
    expect(await boot('right', hashes)).toBe('booted');
    expect(readFileSync(join(scratch, 'right.console'), 'latin1')).not.toContain('BADAML');
  });

  it.each([
    ['kernel', { kernel: '00'.repeat(32) }],
    ['initrd', { initrd: '00'.repeat(32) }],
    ['command line', { commandLine: 'console=ttyS0' }],
  ])('does not boot when the table has another digest of the %s', async (name, other) => {
    expect(await boot(name.replace(' ', '-'), { ...hashes, ...other })).toBe('halted');
  });
});

/**
 * The kernel as QEMU hands it to a guest without SEV: with the fields of the x86 boot protocol that a boot loader
 * fills in. Under SEV it leaves the file as it is.
 */
function asLoadedWithoutSev(kernel: Buffer, initrdBytes: number): Buffer {
  const loaded = Buffer.from(kernel);
  const acpiBytes = 0x2_8000;
  loaded.writeUInt8(0xb0, 0x210); // type_of_loader: QEMU
  loaded.writeUInt8(loaded.readUInt8(0x211) | 0x80, 0x211); // loadflags: CAN_USE_HEAP
  // ramdisk_image: below the room for ACPI tables at the end of memory, on a page
  loaded.writeUInt32LE(((MEMORY - acpiBytes - 1 - initrdBytes) & ~0xfff) >>> 0, 0x218);
  loaded.writeUInt32LE(initrdBytes, 0x21c); // ramdisk_size
  loaded.writeUInt16LE(0xfe00, 0x224); // heap_end_ptr
  loaded.writeUInt32LE(0x2_0000, 0x228); // cmd_line_ptr
  return loaded;
}
