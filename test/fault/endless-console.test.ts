import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type System, show, startSystem, succeeded } from '../harness/system.ts';

const LOG_KIB = 64;
/** Far more than the file may hold. */
const PRINTED = 8 * 2 ** 20;

let folder: string;
let system: System;
beforeEach(async () => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'cocos-c-'));
  const program = path.join(folder, 'endless.mjs');
  writeFileSync(
    program,
    `import { writeSync } from 'node:fs';
     const block = Buffer.alloc(65_536, 'x'.repeat(99) + '\\n');
     setInterval(() => writeSync(1, block), 1);`,
  );
  system = await startSystem({
    ...{ COCOSAI_MODE: 'process', COCOSAI_LOG_KIB: String(LOG_KIB), COCOSAI_AGENT: program },
  });
});
afterEach(async () => {
  await system.stop();
  rmSync(folder, { recursive: true, force: true });
});

it("a guest that prints without end does not fill the host's disk", async () => {
  succeeded(await system.cli('enclave', 'create', 'loud', '--no-wait'));
  const { address } = await show(system, 'loud');
  const file = system.file('state', 'enclaves', path.basename(address), 'console.log');
  const text = () => (existsSync(file) ? readFileSync(file, 'latin1') : '');
  const cut = () => Number(/cut (\d+) bytes/.exec(text())?.[1] ?? 0);
  await expect.poll(cut).toBeGreaterThan(PRINTED);
  const pid = Number((await show(system, 'loud')).context['pid']);
  process.kill(pid, 'SIGSTOP');
  await expect.poll(() => statSync(file).size).toBeLessThanOrEqual(LOG_KIB * 1024);
});
