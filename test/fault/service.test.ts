import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { RestartableService, serveComputations } from '../harness/serve-computations.ts';
import { startSystem } from '../harness/system.ts';

/** `npm run chaos:service` does the same with more computations. */
it('computations of a service end once there, with every event once and in order, whoever is restarted', async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'cocos-s-'));
  const service = await RestartableService.open(path.join(folder, 'journal.jsonl'));
  const system = await startSystem({ COCOSAI_MODE: 'process', COCOSAI_SERVICE: service.address });
  try {
    const report = await serveComputations(system, service, 4, 1);
    expect(report.computations).toBe(4);
    expect(report.events).toBeGreaterThan(4 * 20);
  } finally {
    await system.stop();
    await service.current.close();
    await rm(folder, { recursive: true, force: true });
  }
});
