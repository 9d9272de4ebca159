import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

/** Modules without which the guest does not boot. */
const REQUIRED = ['virtio_blk', 'dm_verity', 'erofs', 'vmw_vsock_virtio_transport', 'configfs'];
/** Modules that a guest with a scratch disk needs besides. */
const SCRATCH = ['dm_crypt', 'dm_integrity', 'authenc', 'xts'];
/** Modules of its file system, which are in the root image: they are large, and the initramfs is not compressed. */
const SCRATCH_FILES = ['btrfs'];
/** Modules that load only where the hardware is: fast AES and SHA-256, report providers of the two TEEs. No network driver. */
const OPTIONAL = ['aesni_intel', 'sha256_ssse3', 'tsm', 'sev_guest', 'tdx_guest'];

export interface KernelModule {
  /** File name in the initramfs, such as `dm-verity.ko`. */
  readonly file: string;
  readonly bytes: Buffer;
  readonly need: Need;
}

/**
 * Loaded or the boot fails; loaded where it can be; loaded, or the boot fails, only with a scratch disk: by the first
 * init, and by the second.
 */
export type Need = 'required' | 'optional' | 'scratch' | 'scratch-files';

/**
 * The modules of the guest in loading order, unpacked (init's insmod reads no xz), their signatures kept.
 *
 * @param kernel folder with the unpacked kernel package
 * @param busybox path of a busybox whose `unxz` is used, so that the host needs none
 */
export function selectModules(kernel: string, busybox: string): KernelModule[] {
  const files = new Map(
    readdirSync(join(kernel, 'usr/lib/modules'), { recursive: true, encoding: 'utf8' })
      .filter((path) => /\.ko(\.xz)?$/.test(path))
      .map((path) => [moduleName(path), join(kernel, 'usr/lib/modules', path)]),
  );
  const builtIn = readBuiltIn(kernel);
  const chosen = new Map<string, KernelModule>();
  const add = (name: string, need: Need): void => {
    if (chosen.has(name) || builtIn.has(name)) return;
    const path = files.get(name);
    if (path === undefined) {
      if (need !== 'optional') throw new Error(`the kernel package has no module ${name}`);
      return;
    }
    const bytes = path.endsWith('.xz') ? unxz(path, busybox) : readFileSync(path);
    for (const dependency of dependenciesOf(bytes)) add(dependency, need);
    chosen.set(name, { file: `${basename(path).replace(/\.xz$/, '')}`, bytes, need });
  };
  for (const name of REQUIRED) add(name, 'required');
  for (const name of OPTIONAL) add(name, 'optional');
  for (const name of SCRATCH) add(name, 'scratch');
  for (const name of SCRATCH_FILES) add(name, 'scratch-files');
  return [...chosen.values()];
}

/** The kernel treats `-` and `_` in module names alike. */
function moduleName(path: string): string {
  return basename(path)
    .replace(/\.ko(\.xz)?$/, '')
    .replaceAll('-', '_');
}

function readBuiltIn(kernel: string): Set<string> {
  const [release] = readdirSync(join(kernel, 'usr/lib/modules'));
  if (release === undefined) throw new Error('the kernel package has no modules');
  const list = readFileSync(join(kernel, 'usr/lib/modules', release, 'modules.builtin'), 'utf8');
  return new Set(list.split('\n').filter(Boolean).map(moduleName));
}

/** Names after `depends=` in the module's `.modinfo` section, which is NUL-separated text. */
function dependenciesOf(bytes: Buffer): string[] {
  const begin = bytes.indexOf('\0depends=');
  if (begin === -1) return [];
  const text = bytes.toString('latin1', begin + 9, bytes.indexOf(0, begin + 1));
  return text
    .split(',')
    .filter(Boolean)
    .map((name) => name.replaceAll('-', '_'));
}

function unxz(path: string, busybox: string): Buffer {
  const result = spawnSync(busybox, ['unxz', '-c', path], { maxBuffer: 64 * 1024 * 1024 });
  if (result.status !== 0)
    throw new Error(`unxz ${path}: ${result.stderr.toString()}`, { cause: result.error });
  return result.stdout;
}
