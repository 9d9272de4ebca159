import { Store } from '../../src/manager/store/store.ts';

/**
 * Fills a store until its disk takes no more, which the limit of a file's size stands for, and goes on afterwards.
 * Prints what became of it as JSON.
 */
const RECORD_BYTES = 256 * 1024;
const WRITES = 100;

const [folder = ''] = process.argv.slice(2);
const unhandled: string[] = [];
process.on('unhandledRejection', (reason) => unhandled.push(String(reason)));
// The kernel's signal at the limit would end the process before the write is refused.
process.on('SIGXFSZ', () => undefined);

const store = new Store(folder);
const outcomes: string[] = [];
for (let index = 0; index < WRITES; index++) {
  const written = [`a/${index}`, `b/${index}`].map((key) =>
    store.put(key, 'filling', 1, 'x'.repeat(RECORD_BYTES)),
  );
  for (const { status } of await Promise.allSettled(written)) outcomes.push(status);
}
await new Promise((resolve) => setTimeout(resolve, 100));
const stored = outcomes.filter((status) => status === 'fulfilled').length;
console.log(JSON.stringify({ stored, refused: outcomes.length - stored, unhandled }));
process.exit(0);
