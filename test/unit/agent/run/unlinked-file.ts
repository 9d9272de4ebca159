import { openSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { DiskUsage } from '../../../../src/agent/run/disk-usage.ts';

/** Prints whether 40 MiB in a file without a name exceed 1 MiB. `FOLDER` is a file system that nothing else uses. */
const MIB = 2 ** 20;
const folder = process.argv[2] ?? '';
const own = await DiskUsage.before(folder, MIB, true);
const shared = await DiskUsage.before(folder, MIB, false);
const before = await own.isExceeded();
const file = openSync(join(folder, 'x'), 'w');
unlinkSync(join(folder, 'x'));
writeSync(file, Buffer.alloc(40 * MIB, 1));
console.log(JSON.stringify({ before, own: await own.isExceeded(), shared: await shared.isExceeded() }));
