import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { EXIT } from '../../../src/errors.ts';

const ROOT = path.resolve(import.meta.dirname, '../../..');
const CANARY = 'text-of-a-participant';

const Entry = z.object({ level: z.string(), name: z.string(), code: z.string(), at: z.array(z.string()) });

describe('the agent process', () => {
  let folder: string;

  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'cocos-m-'));
  });

  afterEach(() => rm(folder, { recursive: true, force: true }));

  /** Runs the agent with code that fails once the agent listens. */
  async function runWith(fault: string) {
    const preload = path.join(folder, 'preload.mjs');
    await writeFile(
      preload,
      `import { existsSync } from 'node:fs';
       const timer = setInterval(() => {
         if (!existsSync(${JSON.stringify(path.join(folder, '7002.sock'))})) return;
         clearInterval(timer);
         ${fault}
       }, 5);`,
    );
    const agent = spawn(
      process.execPath,
      ['--import', 'tsx', '--import', preload, path.join(ROOT, 'src/agent/main.ts')],
      {
        cwd: ROOT,
        env: { COCOS_MODE: 'process', COCOS_SOCKETS: folder, COCOS_WORK: path.join(folder, 'work') },
        stdio: ['ignore', 'ignore', 'pipe'],
      },
    );
    const [log, [code]] = await Promise.all([text(agent.stderr), once(agent, 'exit')]);
    return { log, code };
  }

  it.each([
    ['an unhandled promise rejection', `Promise.reject(new RangeError('${CANARY}'));`, 'RangeError'],
    ['an uncaught exception', `throw new RangeError('${CANARY}');`, 'RangeError'],
    ['a rejection with something that is no error', `Promise.reject('${CANARY}');`, 'string'],
  ])('ends with the cause in its log, but without its text, on %s', async (_what, fault, name) => {
    const { log, code } = await runWith(fault);
    // The host reads the log of an enclave.
    expect(log).not.toContain(CANARY);
    expect(code).toBe(EXIT.internal);
    const entry = Entry.parse(JSON.parse(log.trim()));
    expect(entry).toMatchObject({ level: 'error', name, code: 'INTERNAL' });
    if (name === 'RangeError') expect(entry.at.join()).toContain('preload.mjs');
  });

  it('ends with the code of the failure when it cannot start', async () => {
    const agent = spawn(process.execPath, ['--import', 'tsx', path.join(ROOT, 'src/agent/main.ts')], {
      cwd: ROOT,
      env: { COCOS_MODE: 'process', COCOS_SOCKETS: 'relative' },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const [log, [code]] = await Promise.all([text(agent.stderr), once(agent, 'exit')]);
    expect(code).toBe(EXIT.config);
    expect(Entry.parse(JSON.parse(log.trim()))).toMatchObject({ level: 'error', code: 'CONFIG_INVALID' });
  });
});
