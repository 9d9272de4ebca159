import { parseArgs } from 'node:util';
import { brokenAck } from '../test/chaos/broken-ack.ts';
import { type ChaosOptions, runChaos, shrinkChaos } from '../test/chaos/link-chaos.ts';

/** A link between manager and agent over a wire that works against it: `--runs N --seed N [--steps N] [--broken-ack]`. */
const { values } = parseArgs({
  args: process.argv.slice(2),
  options: {
    runs: { type: 'string', default: '1000' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    /** Takes only so many steps of each run: what a shrunk failure prints. */
    steps: { type: 'string' },
    /** Acknowledges too early on purpose; then a run has to fail. */
    'broken-ack': { type: 'boolean', default: false },
  },
});
const first = Number(values.seed);
const runs = Number(values.runs);
const total = new Map<string, number>();
const add = (name: string, count: number) => total.set(name, (total.get(name) ?? 0) + count);
let failed = false;

for (let run = 0; run < runs && !failed; run++) {
  const options: ChaosOptions = {
    seed: first + run,
    ...(values.steps === undefined ? {} : { steps: Number(values.steps) }),
    ...(values['broken-ack'] ? { tamper: brokenAck } : {}),
  };
  const report = await runChaos(options);
  add('events', report.events);
  add('commands', report.commands);
  for (const [fault, count] of Object.entries(report.faults)) add(fault, count);
  if (report.findings.length === 0) continue;
  failed = true;
  const least = await shrinkChaos(options, report);
  console.error(`chaos: run ${run + 1} failed, ${report.steps} steps, ${least.steps} of them are enough`);
  for (const finding of least.findings) console.error(`  ${finding}`);
  const broken = values['broken-ack'] ? ' --broken-ack' : '';
  console.error(`again: npm run chaos -- --runs 1 --seed ${report.seed} --steps ${least.steps}${broken}`);
}
const counts = [...total].map(([name, count]) => `${count} ${name}`).join(', ');
if (!failed)
  console.log(`chaos: ${runs} runs from seed ${first}, 0 lost, 0 twice, every mirror right: ${counts}`);
process.exitCode = failed === values['broken-ack'] ? 0 : 1;
