import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { makeParties, PROCESS_REFERENCE, show, startSystem, stopAll, succeeded } from '../harness/system.ts';

/** Beside its answer: a chain of folders with a longer path than any call takes, and a folder that nobody may enter. */
const ALGORITHM = `
import os
os.chdir(os.environ['COCOS_RESULTS'])
open('answer.txt', 'w').write('42')
os.mkdir('closed'); open('closed/file', 'w').write('x'); os.chmod('closed', 0)
for i in range(20):
    os.mkdir('d' * 250); os.chdir('d' * 250)
open('canary-plaintext', 'w').write('secret')
`;

afterEach(stopAll);

it('folders that no call can reach lose no result, and leave nothing on the host', async () => {
  const system = await startSystem({ COCOSAI_MODE: 'process' });
  const parties = await makeParties(system, {
    ...{ algorithm: ALGORITHM, datasets: {}, reference: PROCESS_REFERENCE },
  });
  succeeded(await system.cli('enclave', 'create', 'job', '--manifest', parties.manifest));
  const id = (await show(system, 'job')).address.slice('enclave/'.length);
  succeeded(await system.cli('algo', 'job', system.file('algorithm'), ...parties.trust('provider')));
  succeeded(await system.cli('run', 'job', ...parties.trust('consumer')));
  const out = mkdtempSync(path.join(tmpdir(), 'cocos-deep-'));
  try {
    const result = path.join(out, 'result');
    succeeded(await system.cli('result', 'get', 'job', '--out', result, ...parties.trust('consumer')));
    const folder = path.join(out, 'opened');
    succeeded(await system.cli('result', 'open', result, '--out', folder, ...parties.trust('consumer')));
    expect(readFileSync(path.join(folder, 'answer.txt'), 'utf8')).toBe('42');
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(readdirSync(out).toSorted()).toEqual(['opened', 'result']);
    const missing = await system.cli(
      ...['result', 'open', result, '--out', path.join(out, 'none/x'), ...parties.trust('consumer')],
    );
    expect(missing.stderr).toMatch(/^FILE_UNREADABLE: Cannot write /);
    succeeded(await system.cli('enclave', 'remove', 'job'));
    expect(existsSync(`/dev/shm/cocosai-${id}`)).toBe(false);
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
});
