import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { ROOT, startSystem } from '../test/harness/system.ts';
import { type Figure, median } from './figure.ts';

/** Start-up of the command line, next to node running nothing in the same rounds. */

const ROUNDS = 21;
const CLI = path.join(ROOT, 'dist/cocos-cli.js');

interface Command {
  readonly args: readonly string[];
  /** Times bare node. */
  readonly bar: number;
}

const COMMANDS: readonly Command[] = [
  { args: ['--version'], bar: 1.8 },
  { args: ['keys', '--help'], bar: 1.8 },
  { args: ['enclave', 'list'], bar: 2.5 },
];

/** `cli [rounds]` */
export async function run([rounds]: readonly string[]): Promise<Figure[]> {
  const system = await startSystem({ COCOSAI_MODE: 'process' });
  try {
    return measure(Number(rounds ?? ROUNDS), system.environment);
  } finally {
    await system.stop();
  }
}

function measure(rounds: number, environment: NodeJS.ProcessEnv): Figure[] {
  const bare: number[] = [];
  const times = COMMANDS.map((): number[] => []);
  // The first round only fills the page cache. In turn, so that other load on the machine reaches all of them.
  for (let round = -1; round < rounds; round++) {
    const node = elapsedMs(['-e', '0'], environment);
    const commands = COMMANDS.map(({ args }) => elapsedMs([CLI, ...args], environment));
    if (round < 0) continue;
    bare.push(node);
    commands.forEach((ms, index) => {
      times[index]?.push(ms);
    });
  }
  const baseline = median(bare);
  return COMMANDS.map(({ args, bar }, index) => {
    const value = median(times[index] ?? []);
    const ratio = value / baseline;
    return {
      figure: `cocos-cli ${args.join(' ')}`,
      value,
      unit: 'ms',
      baseline,
      ratio,
      bar: `<= ${bar} times node`,
      ok: ratio <= bar,
    };
  });
}

function elapsedMs(args: readonly string[], env: NodeJS.ProcessEnv): number {
  const begin = performance.now();
  const { status } = spawnSync(process.execPath, args, { env, stdio: 'ignore' });
  const ms = performance.now() - begin;
  if (status !== 0) throw new Error(`node ${args.join(' ')} ended with ${status}`);
  return ms;
}
