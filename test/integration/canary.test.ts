import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Plugin } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bundleAgent } from '../../eos/agent-bundle.ts';
import { findInFile, findInFiles, findInMemory, makeCanary } from '../harness/canary.ts';
import { coreDumpObstacle, dumpCore } from '../harness/core-dump.ts';
import { carrySecrets, findInHostFiles, findInTemporary, SECRETS } from '../harness/secret-job.ts';
import { standInAgent } from '../harness/stand-in.ts';
import { ROOT, startSystem } from '../harness/system.ts';

/**
 * Canaries in the algorithm, in a dataset and in the result are searched for in everything that crosses link and
 * relay, in the manager's files, in its memory and in a core dump of it. The same search over programs that seal nothing must find them.
 */

/** Puts an AEAD that does nothing in place of the real one. */
const withoutSealing: Plugin = {
  name: 'without sealing',
  setup: (build) => {
    build.onResolve({ filter: /\/aead\.ts$/ }, () => ({ path: path.join(ROOT, 'test/fakes/plain-aead.ts') }));
  },
};

const obstacle = coreDumpObstacle();
if (obstacle !== null) console.log(`memory and core dumps are not searched: ${obstacle}`);

interface Searched {
  /** What crossed link, relay and report socket. */
  readonly captured: string[];
  /** The manager's folders and logs. */
  readonly files: string[];
  /** What was written in the places for temporary files meanwhile. */
  readonly elsewhere: string[];
  /** Of the manager. */
  readonly memory: string[];
  readonly core: string[];
}

describe('secrets', () => {
  let folder: string;

  beforeAll(() => {
    folder = mkdtempSync(path.join(os.tmpdir(), 'cocos-c-'));
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('appear nowhere on the host', async () => {
    const program = path.join(ROOT, 'dist/cocos-agent.js');
    const found = await search('sealed', program, path.join(ROOT, 'dist/cocos-cli.js'));
    expect(found).toEqual({ captured: [], files: [], elsewhere: [], memory: [], core: [] });
  });

  it('are found by the same search if nothing is sealed', async () => {
    const agent = path.join(folder, 'plain-agent.mjs');
    const cli = path.join(folder, 'plain-cli.mjs');
    writeFileSync(agent, (await bundleAgent('src/agent/main.ts', { plugins: [withoutSealing] })).script);
    writeFileSync(cli, (await bundleAgent('src/cli/main.ts', { plugins: [withoutSealing] })).script);
    const found = await search('plain', agent, cli);
    const names = new Set(found.captured.map((find) => find.split(': ')[1]));
    expect([...names].sort()).toEqual(['algorithm', 'dataset', 'log', 'result']);
    if (obstacle === null) {
      expect(found.memory).not.toEqual([]);
      expect(found.core).not.toEqual([]);
    }
  });

  async function search(name: string, agent: string, cli: string): Promise<Searched> {
    const capture = path.join(folder, name, 'capture');
    const { program, reference } = standInAgent(path.join(folder, name), 'capturing-agent.mjs', {
      agent,
      capture,
    });
    const parties = path.join(folder, name, 'parties');
    mkdirSync(parties);

    const sinceMs = Date.now();
    const system = await startSystem({ COCOSAI_MODE: 'process', COCOSAI_AGENT: program }, cli);
    const canaries = SECRETS.map(makeCanary);
    try {
      await carrySecrets(system, { canaries, reference, folder: parties });
      // Both directions of the link, of reports, and of the participants' relay were seen.
      const seen = new Set(readdirSync(capture).map((file) => file.replace(/-\d+-/, ' ')));
      expect([...seen].sort()).toEqual(['7002 in', '7002 out', '9000 in', '9000 out', '9001 in', '9001 out']);
      const files = findInHostFiles(system, canaries);
      const memory = obstacle === null ? findInMemory(system.manager.pid ?? 0, canaries) : [];
      return {
        captured: findInFiles(capture, canaries),
        files,
        elsewhere: findInTemporary(sinceMs, [folder, system.folder], canaries),
        memory,
        core: obstacle === null ? findInFile(await dumpCore(system), canaries) : [],
      };
    } finally {
      await system.stop();
    }
  }
});
