import { lstat, readlink } from 'node:fs/promises';

/** The command line of bubblewrap. It determines everything that the algorithm can see. */

/** User and group of the algorithm, "nobody": in the sandbox, and on the machine when the agent is root. */
export const SANDBOX_UID = 65534;

/** Descriptors passed to bubblewrap. */
export const FD = { status: 3, block: 4, seccomp: 5 } as const;

export interface SandboxLayout {
  readonly algorithm: string;
  readonly runtimeFile?: string | undefined;
  /** Name in /cocos/datasets to file or folder of the host. */
  readonly datasets: ReadonlyMap<string, string>;
  readonly resultsDir: string;
  /** Size in bytes of /tmp and of /dev/shm, which are in memory. */
  readonly scratchBytes: number;
}

/** System folders at their usual paths; a symbolic link, as on a merged /usr, stays a link. */
export const SYSTEM_FOLDERS = ['/bin', '/sbin', '/lib', '/lib64'];

const ENVIRONMENT: Readonly<Record<string, string>> = {
  PATH: '/usr/local/bin:/usr/bin:/bin',
  HOME: '/tmp',
  LANG: 'C.UTF-8',
  // The sandbox has no /etc/passwd in which a library could look the user up.
  USER: 'nobody',
  LOGNAME: 'nobody',
  COCOS_DATASETS: '/cocos/datasets',
  COCOS_RESULTS: '/cocos/results',
};

/** Arguments up to and including the `--` before the program. */
export async function bwrapArguments(layout: SandboxLayout): Promise<string[]> {
  const scratch = ['--size', String(layout.scratchBytes), '--perms', '1777', '--tmpfs'];
  return [
    ...['--unshare-all', '--die-with-parent', '--new-session', '--hostname', 'cocos'],
    ...['--uid', String(SANDBOX_UID), '--gid', String(SANDBOX_UID)],
    ...['--ro-bind', '/usr', '/usr'],
    ...(await systemFolders()),
    ...['--ro-bind-try', '/etc/ld.so.cache', '/etc/ld.so.cache'],
    ...['--ro-bind-try', '/etc/alternatives', '/etc/alternatives'],
    ...[
      '--proc',
      '/proc',
      '--dev',
      '/dev',
      ...scratch,
      '/dev/shm',
      '--remount-ro',
      '/dev',
      ...scratch,
      '/tmp',
    ],
    ...['--ro-bind', layout.algorithm, '/cocos/algorithm'],
    ...(layout.runtimeFile === undefined ? [] : ['--ro-bind', layout.runtimeFile, '/cocos/runtime']),
    ...['--dir', '/cocos/datasets'],
    ...[...layout.datasets].flatMap(([name, path]) => ['--ro-bind', path, `/cocos/datasets/${name}`]),
    ...['--bind', layout.resultsDir, '/cocos/results'],
    // The root is an unlimited tmpfs, so it must be read-only.
    ...['--remount-ro', '/', '--chdir', '/cocos', '--clearenv'],
    ...Object.entries(ENVIRONMENT).flatMap(([name, value]) => ['--setenv', name, value]),
    ...[
      '--seccomp',
      String(FD.seccomp),
      '--json-status-fd',
      String(FD.status),
      '--block-fd',
      String(FD.block),
    ],
    '--',
  ];
}

async function systemFolders(): Promise<string[]> {
  const out: string[] = [];
  for (const path of SYSTEM_FOLDERS) {
    const stats = await lstat(path).catch(() => undefined);
    if (stats?.isSymbolicLink() === true) out.push('--symlink', await readlink(path), path);
    else if (stats?.isDirectory() === true) out.push('--ro-bind', path, path);
  }
  return out;
}
