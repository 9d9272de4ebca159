import { createHash } from 'node:crypto';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Plugin } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bundleAgent } from '../../eos/agent-bundle.ts';
import { HOST_NODE } from '../../scripts/host-node.ts';
import { type Canary, findIn, findInFiles, findInMemory, makeCanary } from '../harness/canary.ts';
import { type CliResult, makeParties, ROOT, type System, startSystem } from '../harness/system.ts';

/**
 * Canaries in the algorithm, in a dataset and in the result are searched for in everything that crosses link and
 * relay, in the manager's files, and in its memory. The same search over programs that seal nothing must find them.
 */

const isRoot = process.getuid?.() === 0;

/** Puts an AEAD that does nothing in place of the real one. */
const withoutSealing: Plugin = {
  name: 'without sealing',
  setup: (build) => {
    build.onResolve({ filter: /\/aead\.ts$/ }, () => ({ path: path.join(ROOT, 'test/fakes/plain-aead.ts') }));
  },
};

interface Searched {
  readonly captured: string[];
  readonly files: string[];
  readonly memory: string[];
}

describe('secrets', () => {
  let folder: string;

  beforeAll(() => {
    folder = mkdtempSync(path.join(os.tmpdir(), 'cocos-c-'));
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('are found nowhere on the host', async () => {
    const program = path.join(ROOT, 'dist/cocos-agent.js');
    const found = await search('sealed', program, path.join(ROOT, 'dist/cocos-cli.js'));
    expect(found).toEqual({ captured: [], files: [], memory: [] });
  }, 60_000);

  it('are found by the same search when nothing is sealed', async () => {
    const agent = path.join(folder, 'plain-agent.mjs');
    const cli = path.join(folder, 'plain-cli.mjs');
    writeFileSync(agent, (await bundleAgent('src/agent/main.ts', { plugins: [withoutSealing] })).script);
    writeFileSync(cli, (await bundleAgent('src/cli/main.ts', { plugins: [withoutSealing] })).script);
    const { captured } = await search('plain', agent, cli);
    const names = new Set(captured.map((find) => find.split(': ')[1]));
    expect([...names].sort()).toEqual(['algorithm', 'dataset', 'log', 'result']);
  }, 60_000);

  async function search(name: string, agent: string, cli: string): Promise<Searched> {
    const capture = path.join(folder, name, 'capture');
    const program = path.join(folder, name, 'agent.mjs');
    mkdirSync(path.dirname(program), { recursive: true });
    copyFileSync(path.join(ROOT, 'test/fakes/capturing-agent.mjs'), program);
    writeFileSync(`${program}.json`, JSON.stringify({ agent, capture }));
    const reference = path.join(folder, name, 'reference.json');
    writeFileSync(reference, JSON.stringify(referenceOf(program)));
    const parties = path.join(folder, name, 'parties');
    mkdirSync(parties);

    const system = await startSystem({ COCOSAI_MODE: 'process', COCOSAI_AGENT: program }, cli);
    const canaries = ['algorithm', 'dataset', 'result', 'log'].map(makeCanary);
    try {
      await compute(system, canaries, reference, parties);
      // What belongs to the parties is theirs to hold.
      for (const file of readdirSync(system.folder)) {
        if (statSync(system.file(file)).isFile() && file !== 'manager.log') rmSync(system.file(file));
      }
      // Both directions of the link, of reports, and of the participants' relay were seen.
      const seen = new Set(readdirSync(capture).map((file) => file.replace(/-\d+-/, ' ')));
      expect([...seen].sort()).toEqual(['7002 in', '7002 out', '9000 in', '9000 out', '9001 in', '9001 out']);
      return {
        captured: findInFiles(capture, canaries),
        files: findInFiles(system.folder, canaries),
        memory: isRoot && system.manager.pid !== undefined ? findInMemory(system.manager.pid, canaries) : [],
      };
    } finally {
      await system.stop();
    }
  }
});

async function compute(
  system: System,
  canaries: readonly Canary[],
  reference: string,
  folder: string,
): Promise<void> {
  const [algorithm = '', dataset = '', result = '', log = ''] = canaries.map((canary) => canary.text);
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
    reference,
  });
  const succeed = async (...args: string[]): Promise<CliResult> => {
    const done = await system.cli(...args);
    expect(done.code, `${args.join(' ')}: ${done.stderr}`).toBe(0);
    return done;
  };
  await succeed('enclave', 'create', 'job', '--manifest', parties.manifest);
  await succeed('algo', 'job', system.file('algorithm'), ...parties.trust('provider'));
  await succeed('data', 'job', 'secret', system.file('secret'), ...parties.trust('provider'));
  const run = await succeed('run', 'job', ...parties.trust('consumer'));
  expect(run.stderr).toContain(log);
  const sealed = path.join(folder, 'result');
  await succeed('result', 'get', 'job', '--out', sealed, ...parties.trust('consumer'));
  const opened = path.join(folder, 'opened');
  await succeed('result', 'open', sealed, '--key', system.file('consumer.key'), '--out', opened);
  expect(findIn(readFileSync(path.join(opened, 'out')), canaries)).toEqual(['result']);
}

function referenceOf(program: string) {
  const sha256 = (file: string) => createHash('sha256').update(readFileSync(file)).digest('hex');
  const { eosVersion } = JSON.parse(readFileSync(path.join(ROOT, 'dist/reference-values.json'), 'utf8'));
  return { version: 1, eosVersion, process: { agent: sha256(program), runtime: sha256(HOST_NODE) } };
}
