import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import type { CliResult, System } from './system.ts';

/** One computation carried to its end while processes that it needs are killed. */

/** The dataset of every computation that is carried; its result is the dataset twice. */
export const CARRIED_DATASETS = { one: 'twice ' } as const;

/** Doubles the dataset, after so many seconds. */
export function doubling(seconds: number): string {
  return `
import os, time
time.sleep(${seconds})
with open(os.path.join(os.environ["COCOS_RESULTS"], "out"), "w") as f:
    f.write(open(os.path.join(os.environ["COCOS_DATASETS"], "one")).read() * 2)
`;
}

/** Failures that a client meets while the manager is away, or an enclave is being taken over. */
const PASSING = new Set([69, 75]);
/** Far more than a busy machine needs: they only end what hangs. */
export const ATTEMPTS = 3_000;

/** Runs a command again while it fails for reasons that pass. */
export async function insist(system: System, args: readonly string[]): Promise<CliResult> {
  let last: CliResult | null = null;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    last = await system.cli(...args);
    if (last.code === 0) return last;
    if (!PASSING.has(last.code)) break;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${args.join(' ')} ended with ${last?.code}: ${last?.stderr}`);
}

/** The same, where an earlier attempt whose answer was lost may have done it: it fails with this code then. */
export async function insistUnless(done: string, system: System, args: readonly string[]): Promise<void> {
  await insist(system, args).catch((error: Error) => {
    if (!error.message.includes(done)) throw error;
  });
}

/**
 * Feeds a ready enclave, waits for the run, and opens the result, which must be right.
 *
 * @param trust options of a party's commands.
 * @param onStep called after each of them.
 */
export async function carry(
  system: System,
  enclave: string,
  trust: (party: string) => readonly string[],
  onStep: () => Promise<void> = () => Promise.resolve(),
): Promise<void> {
  for (const upload of [
    ['algo', enclave, system.file('algorithm')],
    ['data', enclave, 'one', system.file('one')],
  ]) {
    await insistUnless('INPUT_NOT_EXPECTED', system, [...upload, ...trust('provider')]);
    await onStep();
  }
  await insist(system, ['run', enclave, ...trust('consumer')]);
  await onStep();
  const [sealed, opened] = [system.file(`${enclave}.cocos`), system.file(`${enclave}-opened`)];
  const get = ['result', 'get', enclave, '--out', sealed, ...trust('consumer')];
  // An attempt that could not tell the agent of the delivery has written the file whole.
  await insistUnless('FILE_EXISTS', system, get);
  await insist(system, ['result', 'open', sealed, '--out', opened, ...trust('consumer')]);
  if (readFileSync(`${opened}/out`, 'utf8') !== CARRIED_DATASETS.one.repeat(2)) {
    throw new Error(`the result of ${enclave} is wrong`);
  }
  await rm(sealed, { force: true });
}
