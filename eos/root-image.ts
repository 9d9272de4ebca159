import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { AgentBundle } from './agent-bundle.ts';
import { ADDON } from './agent-bundle.ts';
import { commandLineFor } from './command-line.ts';
import { FileTree } from './file-tree.ts';
import { GUEST_NODE } from './guest-node.ts';
import type { KernelModule } from './kernel-modules.ts';
import { runPinned } from './pinned-program.ts';
import { compilePython } from './python-bytecode.ts';
import { stripElf } from './strip-elf.ts';
import type { UnpackedPackages } from './unpack.ts';
import { buildVerityTree, VERITY_BLOCK, type VerityTree } from './verity.ts';

/** Packages that only the initramfs needs, or of which the root holds one program. */
const NOT_IN_ROOT = new Set(['btrfs-progs', 'busybox-static', 'dmsetup', 'libdevmapper1.02.1', 'util-linux']);
/** Parts of the packages that no program in the guest reads. */
const DROPPED =
  /^(usr\/share\/(?!zoneinfo\/)|usr\/share\/zoneinfo\/(posix|right)\/|usr\/lib\/(systemd|udev|lsb|mime)\/|usr\/lib\/x86_64-linux-gnu\/(gconv|audit|perl|engines-3|ossl-modules)\/|usr\/lib\/python3\.13\/(idlelib|turtledemo|tkinter|test|lib2to3)\/|usr\/lib\/python3\.13\/turtle\.py$|usr\/lib\/python3\.13\/lib-dynload\/(_?xx|_test|_ctypes_test|_dbm\.)|usr\/lib\/x86_64-linux-gnu\/libmvec\.|usr\/bin\/(?!bwrap$|python3\.13$)|usr\/sbin\/|sbin\/|bin\/|etc\/(?!python3\.13\/))/;
/** Whether a file of a package becomes part of the root. */
export function isInRoot(path: string): boolean {
  return !DROPPED.test(path);
}

const UUID = '5e0c05a1-0000-4000-8000-0000c0c05a15';

export interface RootImage extends VerityTree {
  /** File system followed by its hash tree. */
  readonly bytes: Buffer;
}

export interface RootParts {
  readonly packages: UnpackedPackages;
  readonly agent: AgentBundle;
  /** Those for the second init are taken. */
  readonly modules: readonly KernelModule[];
  /** Compiled form of the agent's script. */
  readonly cache: Uint8Array;
  /** Whether the image is for a test: it is made four times as fast, and is an eighth larger. */
  readonly isTest: boolean;
  /** Folder for intermediate files. */
  readonly work: string;
}

/**
 * The read-only root: node, the agent, Python, bubblewrap and their libraries in erofs, with a dm-verity
 * tree behind it.
 */
export function buildRootImage({ packages, agent, modules, cache, isTest, work }: RootParts): RootImage {
  const tree = new FileTree();
  for (const entry of packages.list.filter((p) => p.use === 'guest' && !NOT_IN_ROOT.has(p.wish))) {
    tree.addFrom(packages.folder(entry.wish), isInRoot);
  }
  for (const name of ['bin', 'lib', 'lib64', 'sbin']) tree.addLink(name, `usr/${name}`);
  for (const name of ['cocos', 'dev', 'proc', 'run', 'sys', 'tmp', 'usr/sbin']) tree.addFolder(name);
  tree.addLink('usr/bin/python3', 'python3.13');

  tree.addFile('usr/bin/node', stripElf(readFileSync(GUEST_NODE)), 0o755);
  tree.addFile('usr/lib/cocos/agent.js', agent.script);
  tree.addFile('usr/lib/cocos/agent.cache', cache);
  tree.addFile('usr/lib/cocos/start.cjs', readFileSync(new URL('./init/start.cjs', import.meta.url)));
  tree.addFile(`usr/lib/cocos/${ADDON}`, agent.addon);

  // For root alone: an algorithm runs as another user and finds no shell.
  const busybox = join(packages.folder('busybox-static'), 'usr/bin/busybox');
  tree.addFile('usr/sbin/busybox', readFileSync(busybox), 0o700);
  const program = (wish: string, path: string): void =>
    tree.addFile(path.replace('/bin/', '/sbin/'), readFileSync(join(packages.folder(wish), path)), 0o700);
  program('util-linux', 'usr/bin/setpriv');
  program('btrfs-progs', 'usr/sbin/mkfs.btrfs');
  const late = modules.filter(({ need }) => need === 'scratch-files');
  for (const { file, bytes } of late) tree.addFile(`usr/lib/cocos/modules/${file}`, bytes);
  tree.addFile('usr/lib/cocos/modules/list', late.map(({ file }) => `${file}\n`).join(''));
  tree.addFile('usr/sbin/init', readFileSync(new URL('./init/init.sh', import.meta.url)), 0o700);
  tree.addFile(
    'etc/passwd',
    'root:x:0:0:root:/run:/nonexistent\nnobody:x:65534:65534:nobody:/:/nonexistent\n',
  );
  tree.addFile('etc/group', 'root:x:0:\nnogroup:x:65534:\n');
  tree.addFile('etc/nsswitch.conf', 'passwd: files\ngroup: files\nhosts: files\n');
  tree.addFile('etc/hosts', '127.0.0.1 localhost\n');

  // Level 3 would make the image 3.3 MiB larger; zstd unpacks all levels equally fast.
  return withTree(makeErofs(tree, packages, work, isTest ? 1 : 7));
}

/**
 * A root image that was written to a file.
 *
 * @param commandLine that of its guest
 * @throws Error when it is not the one of the command line
 */
export function readRootImage(bytes: Buffer, commandLine: string): RootImage {
  const blocks = Number(/ cocos\.rootblocks=(\d+)/.exec(commandLine)?.[1]);
  const root = withTree(bytes.subarray(0, blocks * VERITY_BLOCK));
  if (!root.bytes.equals(bytes) || commandLineFor(root) !== commandLine)
    throw new Error('the root image is damaged');
  return root;
}

function withTree(image: Buffer): RootImage {
  const verity = buildVerityTree(image);
  return { ...verity, bytes: Buffer.concat([image, verity.tree]) };
}

/** The bytes are those of the pinned mkfs.erofs. */
function makeErofs(tree: FileTree, packages: UnpackedPackages, work: string, level: number): Buffer {
  const stage = join(work, 'root');
  const output = join(work, 'root.erofs');
  rmSync(stage, { recursive: true, force: true });
  rmSync(output, { force: true });
  tree.writeTo(stage);
  compilePython(stage);
  const options = [
    '-T0',
    `-U${UUID}`,
    '--all-root',
    '-x-1',
    '-b4096',
    `-zzstd,${level}`,
    '-C65536',
    '-Eztailpacking,fragments,dedupe',
    '--quiet',
  ];
  runPinned(packages, 'erofs-utils', 'usr/bin/mkfs.erofs', [...options, output, stage]);
  return readFileSync(output);
}
