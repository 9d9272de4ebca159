import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { RestartableService, serveComputations } from '../test/harness/serve-computations.ts';
import { startSystem } from '../test/harness/system.ts';

/** Computations of a management service under restarts of it and of the manager: `--computations N --seed N`. */
const { values } = parseArgs({
  args: process.argv.slice(2),
  options: {
    computations: { type: 'string', default: '50' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
  },
});
const count = Number(values.computations);
const folder = mkdtempSync(path.join(os.tmpdir(), 'cocos-s-'));
const service = await RestartableService.open(path.join(folder, 'journal.jsonl'));
const system = await startSystem({
  COCOSAI_MODE: 'process',
  COCOSAI_SERVICE: service.address,
  COCOSAI_MAX_ENCLAVES: String(count),
});
try {
  const { events, restarts } = await serveComputations(
    system,
    service,
    count,
    Number(values.seed),
    console.log,
  );
  console.log(
    `chaos: ${count} computations ended once, ${events} events arrived once and in order, after ${restarts.service} ` +
      `restarts of the service and ${restarts.manager} kills of the manager, seed ${values.seed}`,
  );
} catch (error) {
  console.error(`chaos: failed with the seed ${values.seed}:`, error);
  process.exitCode = 1;
} finally {
  await system.stop();
  await service.current.close();
  rmSync(folder, { recursive: true, force: true });
}
