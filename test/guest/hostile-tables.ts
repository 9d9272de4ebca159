import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runPinned } from '../../eos/pinned-program.ts';
import { unpackPackages } from '../../eos/unpack.ts';
import { ensurePinnedPackages } from '../../setup/pinned-packages.mjs';

/** ACPI tables of a hostile host, as arguments of QEMU. Each prints BADAML on the console when a kernel runs it. */

const HEADER_BYTES = 36;
/** Entries of QEMU's table loader (hw/acpi/bios-linker-loader.c): commands and the size of each entry. */
const LOADER = { allocate: 1, addPointer: 2, addChecksum: 3, entryBytes: 128 } as const;
const TABLES = 'etc/acpi/tables';
const RSDP = 'etc/acpi/rsdp';

export interface HostileTables {
  /** The distributor's kernel, without the fence. */
  readonly stockKernel: string;
  /** QEMU's own tables and an SSDT beside them. */
  readonly ssdt: readonly string[];
  /** None of QEMU's: a DSDT, a PSDT and an SSDT, all with code. */
  readonly all: readonly string[];
}

/** @param folder an existing one, for the files that the arguments name */
export function hostileTables(folder: string): HostileTables {
  const { evil, dsdt, stockKernel } = compiled(folder);
  const file = (name: string, bytes: Uint8Array): string => {
    writeFileSync(join(folder, name), bytes);
    return join(folder, name);
  };
  const { tables, rsdp, loader } = tablesOfHost(evil, dsdt);
  const config = (name: string, path: string): string[] => ['-fw_cfg', `name=${name},file=${path}`];
  return {
    stockKernel,
    ssdt: ['-acpitable', `file=${file('evil.aml', evil)}`],
    all: [
      ...['-machine', 'acpi=off'],
      ...config(TABLES, file('tables', tables)),
      ...config(RSDP, file('rsdp', rsdp)),
      ...config('etc/table-loader', file('loader', loader)),
    ],
  };
}

function compiled(folder: string): { evil: Buffer; dsdt: Buffer; stockKernel: string } {
  const wanted = ['acpica-tools', 'libc6', 'linux-image-cloud-amd64'];
  const list = ensurePinnedPackages({ log: () => undefined }).packages.filter(({ wish }) =>
    wanted.includes(wish),
  );
  const packages = unpackPackages(list, join(folder, 'packages'));
  const compile = (source: URL): Buffer => {
    const output = join(folder, 'compiled');
    runPinned(packages, 'acpica-tools', 'usr/bin/iasl', ['-vs', '-p', output, fileURLToPath(source)]);
    return readFileSync(`${output}.aml`);
  };
  const boot = join(packages.folder('linux-image-cloud-amd64'), 'boot');
  const kernel = readdirSync(boot).find((name) => name.startsWith('vmlinuz-')) ?? '';
  return {
    stockKernel: join(boot, kernel),
    evil: compile(new URL('./evil.asl', import.meta.url)),
    dsdt: compile(new URL('../../eos/acpi-fence/dsdt.asl', import.meta.url)),
  };
}

function table(signature: string, revision: number, body: Uint8Array): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.write(signature, 'latin1');
  header.writeUInt32LE(HEADER_BYTES + body.length, 4);
  header.writeUInt8(revision, 8);
  header.write('HOST  HOSTTABL', 10, 'latin1');
  header.writeUInt32LE(1, 24);
  header.write('HOST', 28, 'latin1');
  header.writeUInt32LE(1, 32);
  return Buffer.concat([header, body]);
}

/** Fixed ACPI description table of revision 5 for the machine q35; the address of its DSDT is filled in later. */
function fadt(): Buffer {
  const bytes = table('FACP', 5, Buffer.alloc(268 - HEADER_BYTES));
  bytes.writeUInt16LE(9, 46);
  for (const [at, port] of [
    [56, 0x600],
    [64, 0x604],
    [76, 0x608],
  ] as const) {
    bytes.writeUInt32LE(port, at);
  }
  for (const [at, length] of [
    [88, 4],
    [89, 2],
    [91, 4],
  ] as const) {
    bytes.writeUInt8(length, at);
  }
  bytes.writeUInt32LE(1 | (1 << 2) | (1 << 4) | (1 << 5), 112);
  return bytes;
}

/** Two processors, whatever the machine has. */
function madt(): Buffer {
  const processor = (id: number): number[] => [0, 8, id, id, 1, 0, 0, 0];
  const ioApic = [1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0];
  const timer = [2, 10, 0, 0, 2, 0, 0, 0, 0, 0];
  const fixed = [0, 0, 0xe0, 0xfe, 1, 0, 0, 0];
  return table('APIC', 1, Buffer.from([...fixed, ...processor(0), ...processor(1), ...ioApic, ...timer]));
}

/** The evil table under another signature, with another name for its device. */
function renamed(evil: Buffer, signature: string, device: string): Buffer {
  const bytes = Buffer.from(evil.toString('latin1').replaceAll('EVIL', device), 'latin1');
  bytes.write(signature, 'latin1');
  bytes.writeUInt8(0, 9);
  return bytes;
}

function tablesOfHost(evil: Buffer, dsdt: Buffer): { tables: Buffer; rsdp: Buffer; loader: Buffer } {
  // Definition blocks are lists of terms, so that two of them behind one header are one.
  const hostile = Buffer.concat([dsdt.subarray(HEADER_BYTES), evil.subarray(HEADER_BYTES)]);
  const parts: [name: string, bytes: Buffer][] = [
    ['dsdt', table('DSDT', 2, hostile)],
    ['fadt', fadt()],
    ['madt', madt()],
    ['psdt', renamed(evil, 'PSDT', 'EVI2')],
    ['ssdt', renamed(evil, 'SSDT', 'EVI3')],
  ];
  const at = new Map<string, number>();
  let tables = Buffer.alloc(0);
  const place = (name: string, bytes: Buffer): number => {
    const offset = Math.ceil(tables.length / 64) * 64;
    at.set(name, offset);
    tables = Buffer.concat([tables, Buffer.alloc(offset - tables.length), bytes]);
    return offset;
  };
  for (const [name, bytes] of parts) place(name, bytes);
  const offsetOf = (name: string): number => at.get(name) ?? 0;
  const listed = ['fadt', 'madt', 'psdt', 'ssdt'];
  const entries = Buffer.alloc(4 * listed.length);
  for (const [index, name] of listed.entries()) entries.writeUInt32LE(offsetOf(name), 4 * index);
  const rsdt = table('RSDT', 1, entries);
  const rsdtAt = place('rsdt', rsdt);
  tables.writeUInt32LE(offsetOf('dsdt'), offsetOf('fadt') + 40);

  const rsdp = Buffer.alloc(20);
  rsdp.write('RSD PTR \0HOST  \0', 'latin1');
  rsdp.writeUInt32LE(rsdtAt, 16);

  const commands = [
    allocate(TABLES, 64, 1),
    allocate(RSDP, 16, 2),
    addPointer(TABLES, offsetOf('fadt') + 40),
    ...listed.map((_, index) => addPointer(TABLES, rsdtAt + HEADER_BYTES + 4 * index)),
    addPointer(RSDP, 16),
    ...parts.map(([name, bytes]) => addChecksum(TABLES, offsetOf(name) + 9, offsetOf(name), bytes.length)),
    addChecksum(TABLES, rsdtAt + 9, rsdtAt, rsdt.length),
    addChecksum(RSDP, 8, 0, rsdp.length),
  ];
  return { tables, rsdp, loader: Buffer.concat(commands) };
}

function loaderEntry(
  command: number,
  ...fields: readonly (string | number | { readonly byte: number })[]
): Buffer {
  const parts = fields.map((field) => {
    if (typeof field === 'string') {
      const name = Buffer.alloc(56);
      name.write(field, 'latin1');
      return name;
    }
    if (typeof field === 'object') return Buffer.from([field.byte]);
    return u32(field);
  });
  const bytes = Buffer.concat([u32(command), ...parts]);
  return Buffer.concat([bytes, Buffer.alloc(LOADER.entryBytes - bytes.length)]);
}

/** Zone 1 is high memory, 2 is the segment in which a BIOS keeps the RSDP. */
const allocate = (file: string, alignment: number, zone: 1 | 2): Buffer =>
  loaderEntry(LOADER.allocate, file, alignment, { byte: zone });
const addPointer = (file: string, offset: number): Buffer =>
  loaderEntry(LOADER.addPointer, file, TABLES, offset, { byte: 4 });
const addChecksum = (file: string, at: number, start: number, length: number): Buffer =>
  loaderEntry(LOADER.addChecksum, file, at, start, length);

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
