import { once } from 'node:events';
import { readTrace } from '../test/harness/read-trace.ts';
import { spawnManager, startSystem, succeeded } from '../test/harness/system.ts';
import { type Figure, median } from './figure.ts';

/**
 * How long a manager that was killed needs to have its enclaves again: from the start of the new process until the last
 * link is live, as the trace tells. Real agents, in process mode. `npm run bench -- adopt [enclaves] [--runs=N]`
 */
const ENCLAVES = 100;
const RUNS = 3;
const BAR_S = 1;
const LIMIT_MS = 60_000;
/** Enclaves that are made at once. */
const AT_ONCE = 4;

export async function run(args: readonly string[]): Promise<Figure[]> {
  const enclaves = Number(args.find((each) => /^\d+$/.test(each)) ?? ENCLAVES);
  const runs = Number(args.find((each) => each.startsWith('--runs='))?.slice('--runs='.length) ?? RUNS);
  const system = await startSystem({
    COCOSAI_MODE: 'process',
    COCOSAI_MAX_ENCLAVES: String(enclaves),
    COCOSAI_MIN_FREE_MIB: '0',
  });
  try {
    await makeEnclaves(enclaves, async (name) => succeeded(await system.cli('enclave', 'create', name)));
    const taken: { readonly serving: number; readonly live: number }[] = [];
    for (let index = 0; index < runs; index++) {
      const ended = once(system.manager, 'exit');
      system.manager.kill('SIGKILL');
      await ended;
      const trace = system.file(`trace-${index}`);
      const begin = Date.now();
      system.manager = spawnManager(
        { ...system.environment, COCOSAI_TRACE: trace },
        system.file('manager.log'),
      );
      taken.push(await adoption(trace, system.manager.pid ?? 0, enclaves, begin));
    }
    const figure = (name: string, value: number, bar: number | null): Figure => ({
      figure: `${enclaves} enclaves, from the start of the manager until ${name}`,
      ...{ value, unit: 's', baseline: null, ratio: null },
      ...{ bar: bar === null ? null : `<= ${bar}`, ok: bar === null || value <= bar },
    });
    return [
      figure('it serves', median(taken.map(({ serving }) => serving)), null),
      figure('the last link is live', median(taken.map(({ live }) => live)), BAR_S),
    ];
  } finally {
    await system.stop();
  }
}

async function makeEnclaves(count: number, make: (name: string) => Promise<unknown>): Promise<void> {
  const names = Array.from({ length: count }, (_, index) => `e${index}`);
  const maker = async () => {
    for (let name = names.shift(); name !== undefined; name = names.shift()) await make(name);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, maker));
}

/** Seconds after `begin` until the manager served and until all of its links were live. */
async function adoption(
  trace: string,
  pid: number,
  enclaves: number,
  begin: number,
): Promise<{ serving: number; live: number }> {
  while (Date.now() - begin < LIMIT_MS) {
    const steps = readTrace(trace).filter((step) => step.pid === pid);
    const live = steps.filter(({ machine, to }) => machine === 'link' && to === 'attached.live');
    const serving = steps.find(({ machine, to }) => machine === 'manager' && to === 'serving');
    const last = live[enclaves - 1];
    const after = (step: { readonly time: string }) => (Date.parse(step.time) - begin) / 1000;
    if (last !== undefined && serving !== undefined) return { serving: after(serving), live: after(last) };
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`not all enclaves came back within ${LIMIT_MS / 1000} s`);
}
