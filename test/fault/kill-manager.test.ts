import { expect, it } from 'vitest';
import { killManager } from '../harness/kill-manager.ts';
import { PROCESS_REFERENCE, processesWith, startSystem } from '../harness/system.ts';

/** A short run; `npm run chaos:manager -- --kills 200 --seed N` is the long one. */
it('computes right under a manager that is killed again and again', async () => {
  const system = await startSystem({ COCOSAI_MODE: 'process' });
  const seed = Date.now() % 1_000_000;
  try {
    const report = await killManager(system, PROCESS_REFERENCE, 8, seed);
    expect(report.kills).toBeGreaterThanOrEqual(8);
  } catch (cause) {
    throw new Error(`failed with the seed ${seed}`, { cause });
  } finally {
    const { folder } = system;
    await system.stop();
    expect(processesWith(folder)).toEqual([]);
  }
});
