import { closeSync, fsyncSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';

/** A part of the test agent: reads a file of the scratch disk, past the caches, until it cannot. */

const FILE = '/cocos/canary';
const LIMIT_MS = 600_000;
const PAUSE_MS = 200;
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

export async function readUntilChanged(): Promise<void> {
  const file = openSync(FILE, 'w');
  writeSync(file, 'C'.repeat(65_536));
  fsyncSync(file);
  closeSync(file);
  let found = read();
  say('first', found);
  const begin = performance.now();
  while (found === 'same' && performance.now() - begin < LIMIT_MS) {
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    found = read();
  }
  say('last', found);
}
