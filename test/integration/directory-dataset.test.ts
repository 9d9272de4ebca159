import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { cutRelay } from '../harness/cutting-relay.ts';
import {
  makeParties,
  type Parties,
  PROCESS_REFERENCE,
  type System,
  show,
  startSystem,
  succeeded,
} from '../harness/system.ts';

/** A dataset that is a directory, from the provider's disk to the algorithm. */

const MIB = 2 ** 20;

/** Lists what the algorithm sees of the dataset, with the digest of each file. */
const ALGORITHM = `
import hashlib, json, os
root = os.path.join(os.environ["COCOS_DATASETS"], "tree")
seen = {}
for folder, folders, files in os.walk(root):
    for name in folders:
        seen[os.path.relpath(os.path.join(folder, name), root)] = "directory"
    for name in files:
        path = os.path.join(folder, name)
        with open(path, "rb") as f:
            digest = hashlib.sha256(f.read()).hexdigest()
        seen[os.path.relpath(path, root)] = digest + (" x" if os.access(path, os.X_OK) else "")
try:
    open(os.path.join(root, "new"), "w")
    writable = True
except OSError:
    writable = False
with open(os.path.join(os.environ["COCOS_RESULTS"], "seen.json"), "w") as f:
    json.dump({"seen": seen, "writable": writable, "datasets": os.listdir(os.environ["COCOS_DATASETS"])}, f)
`;

const Manifest = z.looseObject({ datasets: z.array(z.looseObject({ digest: z.string() })) });

describe('a dataset that is a directory', () => {
  let system: System;
  let parties: Parties;
  const big = randomBytes(12 * MIB);
  const sha256 = (bytes: string | Uint8Array) => createHash('sha256').update(bytes).digest('hex');

  beforeAll(async () => {
    system = await startSystem({ COCOSAI_MODE: 'process' });
    const tree = (...names: string[]) => system.file('tree', ...names);
    mkdirSync(tree('inner', 'empty'), { recursive: true });
    writeFileSync(tree('big'), big);
    writeFileSync(tree('inner', 'größe 1.csv'), 'a,b\n');
    writeFileSync(tree('run.sh'), '#!/bin/sh\n', { mode: 0o755 });
    parties = await makeParties(system, {
      algorithm: ALGORITHM,
      datasets: {},
      reference: PROCESS_REFERENCE,
      manifest: ['--dataset', `tree=${tree()}@${system.file('provider.pub')}`],
    });
  });

  afterAll(async () => {
    expect(await system.stop()).toBe(0);
  });

  it('arrives as a directory with its name, also when the upload is cut, and is read-only', async () => {
    succeeded(await system.cli('enclave', 'create', 'job', '--manifest', parties.manifest));
    const { context } = await show(system, 'job');
    const relay = await cutRelay(String(context['relayAddress']).replace(/^unix:/, ''), { cutAt: 5 * MIB });
    try {
      succeeded(await system.cli('data', 'job', 'tree', system.file('tree'), ...parties.trust('provider')));
      expect(relay.sent.length).toBeGreaterThan(1);
      expect(relay.sent.reduce((sum, bytes) => sum + bytes, 0)).toBeLessThan(18 * MIB);
    } finally {
      await relay.close();
    }
    succeeded(await system.cli('algo', 'job', system.file('algorithm'), ...parties.trust('provider')));
    succeeded(await system.cli('run', 'job', ...parties.trust('consumer')));
    const trust = parties.trust('consumer');
    succeeded(await system.cli('result', 'get', 'job', ...trust, '--out', system.file('r')));
    succeeded(await system.cli('result', 'open', system.file('r'), ...trust, '--out', system.file('result')));
    expect(JSON.parse(readFileSync(system.file('result', 'seen.json'), 'utf8'))).toEqual({
      datasets: ['tree'],
      writable: false,
      seen: {
        big: sha256(big),
        inner: 'directory',
        'inner/empty': 'directory',
        'inner/größe 1.csv': sha256('a,b\n'),
        'run.sh': `${sha256('#!/bin/sh\n')} x`,
      },
    });
  });

  it('has one digest: in the manifest, of checksum, and as directory:DIGEST', async () => {
    const [{ digest } = { digest: '' }] = Manifest.parse(
      JSON.parse(readFileSync(parties.manifest, 'utf8')),
    ).datasets;
    expect(succeeded(await system.cli('checksum', system.file('tree'))).stdout.trim()).toBe(digest);
    const again = system.file('again.json');
    const provider = system.file('provider.pub');
    succeeded(
      await system.cli(
        ...['manifest', 'create', '--name', 'x', '--algorithm', `${system.file('algorithm')}@${provider}`],
        ...['--dataset', `tree=directory:${digest}@${provider}`, '--consumer', provider, '--out', again],
      ),
    );
    expect(Manifest.parse(JSON.parse(readFileSync(again, 'utf8'))).datasets).toEqual([
      expect.objectContaining({ name: 'tree', digest, kind: 'directory' }),
    ]);
    expect(succeeded(await system.cli('manifest', 'check', again, '--key', provider)).stdout).toContain(
      'the dataset tree, a directory:',
    );
  });

  it('cannot be sent as a file, nor a file as a directory', async () => {
    const trust = parties.trust('provider');
    const file = await system.cli('data', 'job', 'tree', system.file('algorithm'), ...trust);
    expect(file).toMatchObject({ code: 65, stderr: expect.stringMatching(/^INPUT_INVALID/m) });
  });
});
