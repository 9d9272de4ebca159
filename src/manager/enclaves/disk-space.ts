import { mkdir, statfs } from 'node:fs/promises';
import { CocosError } from '../../errors.ts';
import type { ManagerConfig } from '../config.ts';

/** Creates the state folder if necessary. @throws CocosError HOST_DISK_FULL when its disk has too little space left */
export async function checkDisk({
  stateDir,
  minimumFreeMiB,
}: Pick<ManagerConfig, 'stateDir' | 'minimumFreeMiB'>): Promise<void> {
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  const { bavail, bsize } = await statfs(stateDir);
  const freeMiB = Math.floor((bavail * bsize) / 2 ** 20);
  if (freeMiB < minimumFreeMiB) {
    throw new CocosError(
      'HOST_DISK_FULL',
      `${stateDir} has ${freeMiB} MiB free, but ${minimumFreeMiB} MiB are required (COCOSAI_MIN_FREE_MIB): free some space.`,
    );
  }
}
