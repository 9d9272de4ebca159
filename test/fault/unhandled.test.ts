import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { collect, ROOT, startSystem, stopProcess } from '../harness/system.ts';

/** A promise that the program does not handle: planted by a module that is loaded before the program. */

const moduleOf = (script: string): string => `data:text/javascript,${encodeURIComponent(script)}`;
const REJECT = `void Promise.reject(new Error('planted fault'))`;
const ON_SIGNAL = moduleOf(`process.on('SIGUSR2', () => ${REJECT});`);
/** As soon as the program has its handler. */
const AT_START = moduleOf(
  `const timer = setInterval(() => {
    if (process.listenerCount('unhandledRejection') === 0) return;
    clearInterval(timer);
    ${REJECT};
  }, 20);`,
);

describe('an unhandled promise rejection', () => {
  it('ends the manager with the cause in its log', async () => {
    const system = await startSystem({ COCOSAI_MODE: 'process', NODE_OPTIONS: `--import=${ON_SIGNAL}` });
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
      ['--import', AT_START, path.join(ROOT, 'dist', `${program}.js`), ...args],
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
      const { code, stderr } = await collect(child);
      expect(code).toBe(70);
      expect(stderr).toContain('INTERNAL');
    } finally {
      await stopProcess(child);
      await system.stop();
    }
  });
});
