import path from 'node:path';
import { parseArgs } from 'node:util';
import { killManager } from '../test/harness/kill-manager.ts';
import { PROCESS_REFERENCE, ROOT, startSystem } from '../test/harness/system.ts';

/** Kills the manager at random moments of the main job: `--kills N --seed N [--vm]`. */
const { values } = parseArgs({
  args: process.argv.slice(2),
  options: {
    kills: { type: 'string', default: '200' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    vm: { type: 'boolean', default: false },
  },
});
// A guest may be booted long before a manager lives long enough to shake hands with it, so the limit of a boot is not what is tested.
const settings = { COCOSAI_MODE: values.vm ? 'vm' : 'process', COCOSAI_BOOT_SECONDS: '1200' };
const system = await startSystem(settings);
const reference = values.vm ? path.join(ROOT, 'build/eos/reference-values.json') : PROCESS_REFERENCE;
try {
  const report = await killManager(system, reference, Number(values.kills), Number(values.seed), console.log);
  console.log(`chaos: ${report.kills} kills in ${report.jobs} jobs, all right, seed ${report.seed}`);
} catch (error) {
  console.error(`chaos: failed with the seed ${values.seed}:`, error);
  console.error(system.file('manager.log'));
  process.exitCode = 1;
} finally {
  await system.stop();
}
