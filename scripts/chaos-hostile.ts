import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { type Attacker, besiege, type Latencies } from '../test/harness/hostile/siege.ts';

/**
 * A hostile guest and a hostile management service against a manager that serves another enclave, one after the other:
 * `--minutes N --seed N [--attacker guest|service]`. Ends with 1 if a bar is missed.
 */
const { values } = parseArgs({
  args: process.argv.slice(2),
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    attacker: { type: 'string' },
  },
});
const USUAL_REQUESTS = 300;
const LATENCY_BAR = 2;
const MEMORY_BAR_MIB = 256;

const attackers: Attacker[] =
  values.attacker === undefined ? ['guest', 'service'] : [attackerOf(values.attacker)];
for (const attacker of attackers) {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'cocos-h-'));
  try {
    const end = performance.now() + Number(values.minutes) * 60_000;
    const { usual, attacked, grownBytes, attacks, enclaves } = await besiege({
      ...{ attacker, folder, seed: Number(values.seed), usualRequests: USUAL_REQUESTS },
      isOver: () => performance.now() > end,
      report: (line) => console.log(`hostile ${attacker}: ${line}`),
    });
    console.log(
      `hostile ${attacker}: ${attacks.length} attacks by ${enclaves} enclaves, seed ${values.seed}`,
    );
    for (const kind of ['control', 'evidence'] as const) judgeLatency(attacker, kind, usual, attacked);
    const grown = grownBytes / 2 ** 20;
    judge(
      grown <= MEMORY_BAR_MIB,
      `hostile ${attacker}: memory grew by ${grown.toFixed(0)} MiB, bar ${MEMORY_BAR_MIB}`,
    );
    console.log(`hostile ${attacker}: the manager restarted clean, and the honest enclave computed`);
  } catch (error) {
    console.error(`hostile ${attacker}: failed with the seed ${values.seed}:`, error);
    process.exitCode = 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function judgeLatency(
  attacker: Attacker,
  kind: keyof Latencies,
  usual: Latencies,
  attacked: Latencies,
): void {
  const [before, under] = [usual[kind], attacked[kind]];
  const ratio = quantile(under, 0.5) / quantile(before, 0.5);
  const both = (at: number) =>
    `${quantile(under, at).toFixed(1)} against ${quantile(before, at).toFixed(1)} ms`;
  judge(
    ratio <= LATENCY_BAR,
    `hostile ${attacker}: ${kind} of ${under.length}: median ${both(0.5)}, ${ratio.toFixed(2)} times, bar ${LATENCY_BAR}; p95 ${both(0.95)}`,
  );
}

function judge(holds: boolean, line: string): void {
  console.log(`${holds ? 'ok  ' : 'MISS'}  ${line}`);
  if (!holds) process.exitCode = 1;
}

function quantile(values: readonly number[], at: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) * at)] ?? Number.NaN;
}

function attackerOf(text: string): Attacker {
  if (text === 'guest' || text === 'service') return text;
  throw new Error(`--attacker is guest or service, not '${text}'`);
}
