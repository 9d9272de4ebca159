import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runPinned } from '../pinned-program.ts';
import type { UnpackedPackages } from '../unpack.ts';
import { type Fence, fenceKernel, type KernelPlaces } from './fence-kernel.ts';

const SOURCES = fileURLToPath(new URL('.', import.meta.url));
/** At least that of every constant: the linker would move a part that begins elsewhere. */
const ALIGNMENT = 64;
/** Offsets in the UEFI part, as efi.c lays it out. */
const MARK = 0x40;
const GUARD = 0x48;

/** The AML of the guest's own tables, by file name. */
export interface Aml {
  readonly dsdt: Buffer;
  readonly tpm: Buffer;
}

/** A kernel behind its fence, and the AML that it will see. */
export function buildFencedKernel(
  packages: UnpackedPackages,
  kernel: Uint8Array,
  work: string,
): { readonly kernel: Buffer; readonly aml: Aml } {
  const aml = compileAml(packages, work);
  return { kernel: fenceKernel(kernel, (places) => compileFence(packages, aml, work, places)), aml };
}

/** Compiles the guest's ACPI tables. */
function compileAml(packages: UnpackedPackages, work: string): Aml {
  mkdirSync(work, { recursive: true });
  const compile = (name: keyof Aml): Buffer => {
    const output = join(work, name);
    const source = join(SOURCES, `${name}.asl`);
    runPinned(packages, 'acpica-tools', 'usr/bin/iasl', ['-we', '-vs', '-p', output, source]);
    return readFileSync(`${output}.aml`);
  };
  return { dsdt: compile('dsdt'), tpm: compile('tpm') };
}

/** Compiles the fence for a kernel, with the pinned compiler. */
function compileFence(packages: UnpackedPackages, aml: Aml, work: string, places: KernelPlaces): Fence {
  for (const name of ['dsdt', 'tpm'] as const)
    writeFileSync(join(work, `${name}.inc`), [...aml[name]].join(','));
  const efi = compileFlat(packages, work, join(SOURCES, 'efi.c'), 64, {
    BASE: places.base,
    KERNEL64: places.rest64,
    KERNEL_EFI: places.efiDistance,
  });
  const bios = Math.ceil(efi.length / ALIGNMENT) * ALIGNMENT;
  const legacy = compileFlat(packages, work, join(SOURCES, 'bios.c'), 32, {
    BASE: places.base + bios,
    KERNEL32: places.entry32,
    MARK: places.base + MARK,
  });
  const bytes = Buffer.alloc(bios + legacy.length);
  efi.copy(bytes);
  legacy.copy(bytes, bios);
  return { bytes, bios, guard: GUARD };
}

/**
 * Compiles, assembles and links one file of C to the bytes of its code, which may be put anywhere if it is 64-bit code.
 *
 * @param work folder for intermediate files, and of what the source includes
 * @param symbols values of names that the source declares; `BASE` is the address of the first byte
 */
export function compileFlat(
  packages: UnpackedPackages,
  work: string,
  file: string,
  bits: 32 | 64,
  symbols: Readonly<Record<string, number>>,
): Buffer {
  const at = (suffix: string): string => join(work, `${basename(file, '.c')}${suffix}`);
  const options = [
    ...['-quiet', '-Os', `-m${bits}`, '-std=gnu11', '-nostdinc', '-ffreestanding', '-fno-builtin'],
    ...(bits === 64 ? ['-fpie', '-mno-red-zone'] : ['-fno-pic', '-march=i686']),
    ...['-fvisibility=hidden', '-mgeneral-regs-only', '-fno-stack-protector', '-fcf-protection=none'],
    ...['-fno-strict-aliasing', '-fno-asynchronous-unwind-tables', '-fno-tree-loop-distribute-patterns'],
    // A table at an address that the host chose is read as it is.
    ...['-fno-delete-null-pointer-checks', '-Wall', '-Wextra', '-Werror'],
  ];
  const compiler = 'usr/libexec/gcc/x86_64-linux-gnu/14/cc1';
  const source = [file, '-iquote', work, '-o', at('.s')];
  runPinned(packages, 'cpp-14-x86-64-linux-gnu', compiler, [...options, ...source]);
  const binutils = (program: string, args: readonly string[]): void =>
    runPinned(packages, 'binutils-x86-64-linux-gnu', `usr/bin/x86_64-linux-gnu-${program}`, args);
  binutils('as', [`--${bits}`, '--noexecstack', '-o', at('.o'), at('.s')]);
  const defined = Object.entries(symbols).map(([symbol, value]) => `--defsym=${symbol}=${value}`);
  const format = ['-m', bits === 64 ? 'elf_x86_64' : 'elf_i386', '--oformat', 'binary', '--build-id=none'];
  binutils('ld.bfd', [...format, '-T', join(SOURCES, 'flat.ld'), ...defined, '-o', at('.bin'), at('.o')]);
  return readFileSync(at('.bin'));
}
