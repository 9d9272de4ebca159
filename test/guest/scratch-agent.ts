import { closeSync, fsyncSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';

/** Stands for the agent in a test image: reads a file of the scratch disk, past the caches, until it cannot. */

const FILE = '/cocos/canary';
const LIMIT_MS = 600_000;
const PAUSE_MS = 300;
const say = (name: string, value: unknown): void =>
  console.log(`COCOS-TEST ${name} ${JSON.stringify(value)}`);

function read(): string {
  writeFileSync('/proc/sys/vm/drop_caches', '3');
  try {
    return readFileSync(FILE, 'latin1') === 'C'.repeat(65_536) ? 'same' : 'changed';
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : 'failed';
  }
}

const file = openSync(FILE, 'w');
writeSync(file, 'C'.repeat(65_536));
fsyncSync(file);
closeSync(file);
say('first', read());
const begin = performance.now();
const timer = setInterval(() => {
  const found = read();
  if (found === 'same' && performance.now() - begin < LIMIT_MS) return;
  clearInterval(timer);
  say('last', found);
}, PAUSE_MS);
