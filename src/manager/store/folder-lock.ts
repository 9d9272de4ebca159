import { randomUUID } from 'node:crypto';
import { lstat, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
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

const LOCK = 'lock.json';
const CLAIM = /^claim-[0-9a-f-]{36}\.json$/;
const POLL_MS = 20;

/**
 * Creates a folder unless it exists, and takes it for this process alone. The lock of a process that has ended is
 * taken over.
 *
 * @returns releases the lock.
 * @throws CocosError STATE_LOCKED when another manager works in it; CONFIG_INVALID when it cannot be created or other
 * users have access to it
 */
export async function lockFolder(folder: Folder): Promise<() => Promise<void>> {
  await openFolder(folder);
  const lock = path.join(folder.path, LOCK);
  const claim = await writeClaim(folder);
  try {
    await beFirst(folder, path.basename(claim));
    refuseHolder(folder, await identityIn(lock));
    // Claim and lock are one file, so that there is no moment at which others see neither.
    await rename(claim, lock);
  } catch (thrown) {
    await rm(claim, { force: true });
    throw thrown;
  }
  return () => rm(lock, { force: true });
}

/** Complete from its first moment: who reads half of an identity would think that its process has ended. */
async function writeClaim(folder: Folder): Promise<string> {
  const claim = path.join(folder.path, `claim-${randomUUID()}.json`);
  try {
    await writeFile(`${claim}.new`, JSON.stringify(ownIdentity()), { mode: 0o600, flag: 'wx' });
    await rename(`${claim}.new`, claim);
    return claim;
  } catch (cause) {
    await rm(`${claim}.new`, { force: true });
    throw unusable(folder, 'it cannot be written', cause);
  }
}

/**
 * Waits until no other live process claims the folder; the one whose claim has the lower name goes first. Whoever claims
 * after that finds this claim, or the lock that it has become.
 */
async function beFirst(folder: Folder, own: string): Promise<void> {
  for (;;) {
    const others = (await readdir(folder.path)).filter((name) => CLAIM.test(name) && name !== own);
    let isContested = false;
    for (const name of others) {
      const file = path.join(folder.path, name);
      const claimant = await identityIn(file);
      if (claimant === null || !isAlive(claimant)) await rm(file, { force: true });
      else if (name < own) refuseHolder(folder, claimant);
      else isContested = true;
    }
    if (!isContested) return;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** Null for no file, and for one that names no process. */
async function identityIn(file: string): Promise<ProcessIdentity | null> {
  const text = await readFile(file, 'utf8').catch(() => 'null');
  try {
    return ProcessIdentity.parse(JSON.parse(text));
  } catch {
    return null;
  }
}

/** @throws CocosError STATE_LOCKED */
function refuseHolder(folder: Folder, holder: ProcessIdentity | null): void {
  if (holder === null || !isAlive(holder)) return;
  throw new CocosError(
    'STATE_LOCKED',
    `Process ${holder.pid} works in ${folder.path}. Stop that manager, or set ${folder.setting}.`,
  );
}

async function openFolder(folder: Folder): Promise<void> {
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
