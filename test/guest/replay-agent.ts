import { closeSync, fsyncSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';

/**
 * A part of the test agent: writes a file of the scratch disk, replaces its content, and reads it past the
 * caches. Between the steps it waits for the host to change the size of the disk.
 */

const FILE = '/cocos/input';
const BYTES = 4 * 1024 * 1024;
const PAUSE_MS = 200;
const say = (name: string, value: unknown): void =>
  console.log(`COCOS-TEST ${name} ${JSON.stringify(value)}`);

function write(letter: string): void {
  const file = openSync(FILE, 'r+');
  writeSync(file, letter.repeat(BYTES));
  fsyncSync(file);
  closeSync(file);
}

/** Every buffer of the block layer goes as well, or a tag that is still in memory would find the replay. */
function dropCaches(): void {
  writeFileSync('/sys/module/dm_bufio/parameters/retain_bytes', '0');
  for (let i = 0; i < 3; i++) writeFileSync('/proc/sys/vm/drop_caches', '3');
}

function read(): string {
  dropCaches();
  try {
    const content = readFileSync(FILE, 'latin1');
    return content === 'A'.repeat(BYTES) ? 'old' : content === 'B'.repeat(BYTES) ? 'new' : 'mixed';
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : 'failed';
  }
}

const size = (): string => readFileSync('/sys/block/vdb/size', 'latin1');

async function hostIsDone(before: string): Promise<void> {
  while (size() === before) await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
}

export async function replaceAndRead(): Promise<void> {
  let before = size();
  say('begin', true);
  await hostIsDone(before);
  writeFileSync(FILE, '');
  write('A');
  before = size();
  say('first', read());
  await hostIsDone(before);
  write('B');
  before = size();
  say('second', read());
  await hostIsDone(before);
  say('last', read());
}
