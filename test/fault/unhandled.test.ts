import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { collect, ROOT, startSystem, stopProcess } from '../harness/system.ts';

/** A promise that the program does not handle: planted by a module that is loaded before the program. */

const SCRIPT = `process.on('SIGUSR2', () => void Promise.reject(new Error('planted fault')));`;
const PLANT = `data:text/javascript,${encodeURIComponent(SCRIPT)}`;

describe('an unhandled promise rejection', () => {
  it('ends the manager with the cause in its log', async () => {
    const system = await startSystem({ COCOSAI_MODE: 'process', NODE_OPTIONS: `--import=${PLANT}` });
    try {
      const ended = new Promise((resolve) => system.manager.once('exit', resolve));
      system.manager.kill('SIGUSR2');
      expect(await ended).toBe(70);
      await expect.poll(() => readFileSync(system.file('manager.log'), 'utf8')).toContain('planted fault');
    } finally {
      await system.stop();
    }
  });

  it.each([
    ['cocos-agent', []],
    ['cocos-cli', ['actors', 'watch', 'manager']],
  ])('ends %s with its code', async (program, args) => {
    const system = await startSystem({ COCOSAI_MODE: 'process' });
    const child = spawn(
      process.execPath,
      ['--import', PLANT, path.join(ROOT, 'dist', `${program}.js`), ...args],
      {
        env: {
          ...system.environment,
          COCOS_MODE: 'process',
          COCOS_SOCKETS: system.file(),
          COCOS_WORK: system.file(),
        },
      },
    );
    try {
      const outcome = collect(child);
      const timer = setInterval(() => child.kill('SIGUSR2'), 1_000);
      const { code, stderr } = await outcome;
      clearInterval(timer);
      expect(code).toBe(70);
      expect(stderr).toContain('INTERNAL');
    } finally {
      await stopProcess(child);
      await system.stop();
    }
  });
});
