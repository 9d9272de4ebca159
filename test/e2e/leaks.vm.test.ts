import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { filesBelow, makeCanary } from '../harness/canary.ts';
import { RestartableService } from '../harness/serve-computations.ts';
import {
  type CliResult,
  collect,
  makeParties,
  type Parties,
  ROOT,
  type System,
  startSystem,
  succeeded,
} from '../harness/system.ts';

/**
 * Algorithms that try to tell the host what is in a dataset, in virtual machines: through messages, names of files and
 * processes, escape sequences and the kernel's console. Every channel of the host is searched for pieces of the dataset.
 */

const reference = path.join(ROOT, 'build/eos/reference-values.json');
/** Characters of a piece: a process's name has 13 of the dataset, and shorter pieces would occur by chance. */
const PIECE = 12;

const PREFIX = `
import os, sys, time
data = open('/cocos/datasets/d.csv').read()
`;
const ALGORITHMS = {
  // A message that looks like one of the sandbox, one that is too long for a record, and escape sequences.
  messages: `${PREFIX}
sys.stderr.write('bwrap: execvp ' + data + '\\n')
sys.stderr.write('\\x1b]0;' + data + '\\x07\\x1b[2J\\x1b[H ACCEPTED \\x1b[8m\\n')
sys.stderr.write('bwrap: execvp ' + 'A' * 2030)
sys.stderr.flush()
time.sleep(0.5)
sys.stderr.write(data * 12)
sys.exit(1)
`,
  // Names of links in the results. The run succeeds, so it also reports what of Python there is.
  names: `${PREFIX}
import importlib
os.symlink('/', '/cocos/results/' + data[:200].replace('/', '_'))
os.symlink('/' + data[:200], '/cocos/results/link')
report = []
for name in ['pdb', 'pydoc', 'doctest', 'curses', 'dbm', 'readline', 'venv', 'ensurepip', 'zoneinfo', 'getpass']:
    try:
        importlib.import_module(name)
    except Exception as error:
        report.append(f'{name}: {error!r}')
import datetime, dbm, getpass, zoneinfo
report.append(getpass.getuser())
noon = datetime.datetime(2026, 7, 1, 12, tzinfo=zoneinfo.ZoneInfo('Europe/Berlin'))
report.append(str(noon.utcoffset()))
with dbm.open('/tmp/numbers', 'c') as numbers:
    numbers['one'] = '1'
report.append(dbm.whichdb('/tmp/numbers'))
open('/cocos/results/report', 'w').write('\\n'.join(report))
`,
  // Names of processes that the kernel ends when the memory is used up.
  processes: `${PREFIX}
for i in range(24):
    if os.fork() == 0:
        open('/proc/self/comm', 'w').write('%02d%s' % (i, data[i * 13:(i + 1) * 13]))
        time.sleep(600)
time.sleep(1)
hog = []
while True:
    hog.append(bytearray(8 << 20))
`,
} as const;
type Name = keyof typeof ALGORITHMS;

describe('a dataset, when an algorithm tries to tell it to the host,', () => {
  let service: RestartableService;
  let system: System;
  let parties: Parties;
  let watched: Promise<CliResult>;
  let watch: ChildProcess;
  const folder = mkdtempSync(path.join(os.tmpdir(), 'cocos-s-'));
  const journal = path.join(folder, 'journal.jsonl');
  const { text } = makeCanary('dataset');
  const dataset = text.repeat(5);
  const pieces = Array.from({ length: text.length }, (_, at) => dataset.slice(at, at + PIECE));
  /** What commands of others than the consumer print. */
  const printed: string[] = [];

  beforeAll(async () => {
    service = await RestartableService.open(journal);
    system = await startSystem({ COCOSAI_MODE: 'vm', COCOSAI_SERVICE: service.address });
    const inputs = { algorithm: ALGORITHMS.messages, datasets: { 'd.csv': dataset }, reference };
    parties = await makeParties(system, inputs);
    watch = system.spawnCli('actors', 'watch', '-o', 'json');
    watched = collect(watch);
    if (watch.stdout !== null) await once(watch.stdout, 'data');
  });
  afterAll(async () => {
    await system.stop();
    await service.current.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Has the service start an enclave for the algorithm, sends the inputs, and waits for the end of the run. */
  async function run(
    name: Name,
  ): Promise<{ enclave: string; trust(party: string): string[]; consumer: CliResult }> {
    const algorithm = system.file(`${name}.py`);
    const manifest = system.file(`${name}.json`);
    writeFileSync(algorithm, ALGORITHMS[name]);
    const provider = system.file('provider.pub');
    succeeded(
      await system.cli(
        ...['manifest', 'create', '--name', name, '--id', name, '--algorithm', `${algorithm}@${provider}`],
        ...['--dataset', `d.csv=${system.file('d.csv')}@${provider}`, '--limit', 'memoryMiB=64'],
        ...['--consumer', system.file('consumer.pub'), '--out', manifest],
      ),
    );
    await service.current.define(JSON.parse(readFileSync(manifest, 'utf8')));
    const isReady = async (): Promise<boolean> =>
      (await service.events()).some(
        (event) => event.computationId === name && event.toState === 'alive.ready',
      );
    await expect.poll(isReady).toBe(true);
    const enclave = z.string().parse(service.current.computations.get(name)?.enclaveId);
    const trust = (party: string): string[] =>
      parties.trust(party).map((word) => (word === parties.manifest ? manifest : word));
    const send = [await system.cli('algo', enclave, algorithm, ...trust('provider'))];
    send.push(await system.cli('data', enclave, 'd.csv', system.file('d.csv'), ...trust('provider')));
    const consumer = await system.cli('run', enclave, ...trust('consumer'));
    for (const each of [
      ...send.map(succeeded),
      // The provider is no consumer.
      await system.cli('run', enclave, ...trust('provider')),
      await system.cli('enclave', 'show', enclave),
      await system.cli('enclave', 'show', enclave, '-o', 'json'),
      await system.cli('actors', 'show', `enclave/${enclave}/computation`, '-o', 'json'),
    ]) {
      printed.push(each.stdout, each.stderr);
    }
    return { enclave, trust, consumer };
  }

  /** `channel: piece` for what the host has of the dataset. */
  function found(): string[] {
    const files = ['state', 'run'].flatMap((name) => filesBelow(system.file(name)));
    const channels = [...files, system.file('manager.log'), journal].map((file): [string, string] => [
      file,
      readFileSync(file, 'latin1'),
    ]);
    channels.push(['output of commands', printed.join('\n')]);
    return channels.flatMap(([channel, content]) =>
      pieces.filter((piece) => content.includes(piece)).map((piece) => `${channel}: ${piece}`),
    );
  }

  it('is not in any channel of the host after messages, escape sequences and an exit code', async () => {
    const { consumer } = await run('messages');
    expect(consumer.code).toBe(1);
    expect(consumer.stderr).toMatch(/^ALGORITHM_FAILED/m);
    // The consumer gets the log, without what a terminal would obey.
    expect(consumer.stderr).toContain(text);
    expect(consumer.stderr).not.toContain('\x1b');
    expect(found()).toEqual([]);
  });

  it('is not in any channel of the host after names in the results', async () => {
    const { enclave, trust } = await run('names');
    const sealed = system.file('names.cocos');
    succeeded(await system.cli('result', 'get', enclave, '--out', sealed, ...trust('consumer')));
    succeeded(
      await system.cli('result', 'open', sealed, '--out', system.file('opened'), ...trust('consumer')),
    );
    expect(readFileSync(system.file('opened', 'report'), 'utf8').split('\n')).toEqual([
      ...['nobody', '2:00:00', 'dbm.sqlite3'],
    ]);
    expect(found()).toEqual([]);
  });

  it('is not in any channel of the host after names of processes that the kernel ends', async () => {
    const { consumer } = await run('processes');
    expect(consumer.stderr).toMatch(/^ALGORITHM_LIMIT: .*memory/m);
    expect(found()).toEqual([]);
  });

  it('is not in what watchers saw of all this, and the search sees what is there', async () => {
    watch.kill('SIGTERM');
    const { stdout } = await watched;
    expect(stdout).toContain('run.failed');
    expect(pieces.filter((piece) => stdout.includes(piece))).toEqual([]);
    expect((await service.events()).map(({ toState }) => toState)).toContain('failed');
    // The consoles are among the files, written up to the agent's start.
    const consoles = filesBelow(system.file('state')).filter((file) =>
      readFileSync(file, 'latin1').includes('COCOS-BOOT agent'),
    );
    expect(consoles).toHaveLength(3);
    printed.push(readFileSync(system.file('d.csv'), 'utf8'));
    expect(found()).toHaveLength(pieces.length);
  });
});
