import { mkdir, open, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { CocosError } from '../../errors.ts';
import { adoptHostProcess, ownIdentity, ProcessIdentity } from '../guests/vm/host-process.ts';

/**
 * Takes a state folder for this process alone. A lock whose process has ended is taken over.
 *
 * @throws CocosError STATE_LOCKED
 */
export async function lockState(folder: string): Promise<() => Promise<void>> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const file = path.join(folder, 'lock.json');
  for (;;) {
    try {
      const handle = await open(file, 'wx', 0o600);
      await handle.writeFile(JSON.stringify(ownIdentity()));
      await handle.close();
      return () => rm(file, { force: true });
    } catch (cause) {
      if (!(cause instanceof Error && 'code' in cause && cause.code === 'EEXIST')) throw cause;
      const holder = ProcessIdentity.safeParse(
        await readFile(file, 'utf8')
          .then(JSON.parse)
          .catch(() => null),
      );
      if (holder.success && adoptHostProcess(holder.data) !== null) {
        throw new CocosError('STATE_LOCKED', `Process ${holder.data.pid} works on ${folder}.`, { cause });
      }
      await rm(file, { force: true });
    }
  }
}
