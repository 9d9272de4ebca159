import { lstat, mkdir, open, readFile, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { CocosError } from '../../errors.ts';
import { isAlive, ownIdentity, ProcessIdentity } from '../guests/vm/host-process.ts';

/** A folder that one manager works in. */
interface Folder {
  readonly path: string;
  /** Name of its setting, for messages. */
  readonly setting: string;
  /** Permission bits that no other user may have. */
  readonly closed: number;
  /** Whether the path may be a symbolic link. */
  readonly mayBeLink: boolean;
}

/** Records and logs. Others may look at the list of files, but write nothing. */
export const stateFolder = (folder: string): Folder => ({
  ...{ path: folder, setting: 'COCOSAI_STATE_DIR', closed: 0o022, mayBeLink: true },
});

/** Sockets and the records of running guests. It may lie below /tmp, where another user can create it first. */
export const runFolder = (folder: string): Folder => ({
  ...{ path: folder, setting: 'COCOSAI_RUN_DIR', closed: 0o077, mayBeLink: false },
});

/**
 * Creates a folder unless it exists, and takes it for this process alone. The lock of a process that has ended is
 * taken over.
 *
 * @returns releases the lock.
 * @throws CocosError STATE_LOCKED when another manager works in it; CONFIG_INVALID when it cannot be created or other
 * users have access to it
 */
export async function lockFolder(folder: Folder): Promise<() => Promise<void>> {
  await claim(folder);
  const file = path.join(folder.path, 'lock.json');
  for (;;) {
    try {
      const handle = await open(file, 'wx', 0o600);
      await handle.writeFile(JSON.stringify(ownIdentity()));
      await handle.close();
      return () => rm(file, { force: true });
    } catch (cause) {
      if (!(cause instanceof Error && 'code' in cause && cause.code === 'EEXIST')) {
        throw unusable(folder, 'it cannot be written', cause);
      }
      const holder = ProcessIdentity.safeParse(
        await readFile(file, 'utf8')
          .then(JSON.parse)
          .catch(() => null),
      );
      if (holder.success && isAlive(holder.data)) {
        throw new CocosError(
          'STATE_LOCKED',
          `Process ${holder.data.pid} works in ${folder.path}. Stop that manager, or set ${folder.setting}.`,
          { cause },
        );
      }
      await rm(file, { force: true });
    }
  }
}

async function claim(folder: Folder): Promise<void> {
  const found = await mkdir(folder.path, { recursive: true, mode: 0o700 })
    .then(() => (folder.mayBeLink ? stat(folder.path) : lstat(folder.path)))
    .catch((cause: unknown) => {
      throw unusable(folder, 'it cannot be created', cause);
    });
  if (!found.isDirectory()) throw unusable(folder, 'it is not a folder');
  if (found.uid !== process.getuid?.()) throw unusable(folder, `it belongs to user ${found.uid}`);
  if ((found.mode & folder.closed) !== 0) {
    const mode = (found.mode & 0o777).toString(8).padStart(4, '0');
    throw unusable(folder, `other users have access to it (mode ${mode}; run: chmod 700 ${folder.path})`);
  }
}

function unusable({ path: folder, setting }: Folder, why: string, cause?: unknown): CocosError {
  return new CocosError('CONFIG_INVALID', `The folder ${folder} of ${setting} cannot be used: ${why}.`, {
    cause,
  });
}
