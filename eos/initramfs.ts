import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Aml } from './acpi-fence/compile.ts';
import { writeCpio } from './cpio.ts';
import { FileTree } from './file-tree.ts';
import type { KernelModule } from './kernel-modules.ts';
import type { UnpackedPackages } from './unpack.ts';

/** What the first init calls; everything else of busybox stays unreachable by name. */
const APPLETS = [
  'blockdev',
  'cmp',
  'dd',
  'head',
  'hexdump',
  'insmod',
  'mount',
  'poweroff',
  'printf',
  'sh',
  'sleep',
  'switch_root',
];
const LIBRARY = 'usr/lib/x86_64-linux-gnu';
const LIBRARIES: readonly [wish: string, pattern: RegExp][] = [
  ['libc6', /\/(ld-linux-x86-64\.so\.2|libc\.so\.6|libm\.so\.6)$/],
  ['libdevmapper1.02.1', /\/libdevmapper\.so\.[\d.]+$/],
  ['libudev1', /\/libudev\.so\.[\d.]+$/],
  ['libcap2', /\/libcap\.so\.[\d.]+$/],
  ['libselinux1', /\/libselinux\.so\.1$/],
  ['libpcre2-8-0', /\/libpcre2-8\.so\.[\d.]+$/],
];

/** What the first file system holds beside the links and the script that are the same in each. */
export interface InitramfsParts {
  readonly busybox: Uint8Array;
  /** Adds dmsetup and every library that it and busybox need. */
  addTools(tree: FileTree): void;
  /** In the order in which they are loaded; none where the kernel holds its drivers. */
  readonly modules: readonly KernelModule[];
  /** All that the kernel may have found in ACPI tables. */
  readonly aml: Aml;
}

/** The first file system, of the pinned packages. */
export function buildInitramfs(
  packages: UnpackedPackages,
  modules: readonly KernelModule[],
  aml: Aml,
): Buffer {
  const busybox = join(packages.folder('busybox-static'), 'usr/bin/busybox');
  return packInitramfs({
    busybox: readFileSync(busybox),
    addTools(tree) {
      tree.addFrom(packages.folder('dmsetup'), (path) => path === 'usr/sbin/dmsetup');
      for (const [wish, pattern] of LIBRARIES) {
        tree.addFrom(packages.folder(wish), (path) => pattern.test(path));
      }
    },
    modules: modules.filter(({ need }) => need !== 'scratch-files'),
    aml,
  });
}

/**
 * The first file system: busybox, dmsetup, modules and the script that opens the verified root.
 *
 * Not compressed: reading a larger file costs less than unpacking it does, and the bytes then depend on no
 * compressor.
 */
export function packInitramfs({ busybox, addTools, modules, aml }: InitramfsParts): Buffer {
  const tree = new FileTree();
  for (const folder of ['dev', 'newroot', 'proc', 'sys', 'usr/bin', 'usr/sbin', LIBRARY])
    tree.addFolder(folder);
  for (const name of ['bin', 'lib', 'lib64', 'sbin']) tree.addLink(name, `usr/${name}`);
  // Standard input and output of init, before devtmpfs is there.
  tree.addDevice('dev/console', 5, 1, 0o600);

  tree.addFile('usr/bin/busybox', busybox, 0o755);
  for (const applet of APPLETS) tree.addLink(`usr/bin/${applet}`, 'busybox');
  addTools(tree);
  for (const module of modules) tree.addFile(`modules/${module.file}`, module.bytes);
  const list = modules.map((module) => `${module.file} ${module.need}\n`);
  tree.addFile('modules/list', list.join(''));
  tree.addFile('acpi/dsdt', aml.dsdt);
  tree.addFile('acpi/tpm', aml.tpm);
  tree.addFile('init', readFileSync(new URL('./init/first-init.sh', import.meta.url)), 0o755);
  return writeCpio(tree);
}
