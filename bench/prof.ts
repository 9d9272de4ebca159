import { mkdtempSync } from 'node:fs';
import { Store } from '../src/manager/store/store.ts';
import { Fleet } from './mirrors/fleet.ts';
import { Stream } from './mirrors/stream.ts';

const fleet = new Fleet(new Store(mkdtempSync('/tmp/h1-prof-')));
for (let g = 0; g < 10000; g += 500) {
  fleet.grow(500);
  await fleet.directory.settled();
}
const stream = new Stream(fleet);
for (let r = 0; r < 6; r++) console.log(Math.round(await stream.flood(200_000)));
process.exit(0);
