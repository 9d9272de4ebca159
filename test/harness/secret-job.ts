import { readFileSync } from 'node:fs';
import path from 'node:path';
import { type Canary, findElsewhere, findIn, findInFile, findInFiles } from './canary.ts';
import { makeParties, type System, succeeded } from './system.ts';

/** One computation whose every secret is a canary, and the search for them in what the host's programs write. */

export const SECRETS = ['algorithm', 'dataset', 'result', 'log'] as const;

interface SecretJob {
  /** One for each of `SECRETS`. */
  readonly canaries: readonly Canary[];
  /** Reference values of the agent. */
  readonly reference: string;
  /** Where the consumer keeps its result. */
  readonly folder: string;
  /** Called when the enclave `job` holds the dataset and waits for the algorithm. */
  readonly whileHeld?: () => Promise<void>;
}

/** Runs it in the enclave `job`; the consumer opens what it should. */
export async function carrySecrets(system: System, job: SecretJob): Promise<void> {
  const [algorithm = '', dataset = '', result = '', log = ''] = job.canaries.map(({ text }) => text);
  // The last two are made inside only: what is sent holds their halves apart.
  const source = `
import os
# ${algorithm}
halves = ${JSON.stringify([result, log].map((text) => [text.slice(0, 32), text.slice(32)]))}
result, log = ["".join(each) for each in halves]
print(log)
with open(os.path.join(os.environ["COCOS_RESULTS"], "out"), "w") as f:
    f.write(result)
`;
  const parties = await makeParties(system, {
    algorithm: source,
    datasets: { secret: `${dataset}\n` },
    reference: job.reference,
  });
  const done = async (...args: string[]) => succeeded(await system.cli(...args));
  await done('enclave', 'create', 'job', '--manifest', parties.manifest);
  await done('data', 'job', 'secret', system.file('secret'), ...parties.trust('provider'));
  await job.whileHeld?.();
  await done('algo', 'job', system.file('algorithm'), ...parties.trust('provider'));
  const run = await done('run', 'job', ...parties.trust('consumer'));
  if (!run.stderr.includes(log)) throw new Error('the consumer did not see its log lines');
  const sealed = path.join(job.folder, 'result');
  await done('result', 'get', 'job', '--out', sealed, ...parties.trust('consumer'));
  const opened = path.join(job.folder, 'opened');
  await done('result', 'open', sealed, '--out', opened, ...parties.trust('consumer'));
  const [found] = findIn(readFileSync(path.join(opened, 'out')), job.canaries);
  if (found !== 'result') throw new Error('the consumer did not get its result');
}

/** `file: canary` for finds in the folders and the log of the manager and of what it has started. */
export function findInHostFiles(system: System, canaries: readonly Canary[]): string[] {
  return [
    ...findInFiles(system.file('state'), canaries),
    ...findInFiles(system.file('run'), canaries),
    ...findInFile(system.file('manager.log'), canaries),
  ];
}

/** `file: canary` for finds in the host's places for temporary files. */
export function findInTemporary(
  sinceMs: number,
  ownFolders: readonly string[],
  canaries: readonly Canary[],
): string[] {
  // The agent's work folder is inside the enclave; in process mode that is a folder of this host, and open to it.
  const own = [...ownFolders, '/dev/shm/cocosai-'];
  return findElsewhere(sinceMs, (file) => own.some((folder) => file.startsWith(folder)), canaries);
}
