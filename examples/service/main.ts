import { mkdir, readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { parseAddress } from '../../src/rpc/address.ts';
import { ReferenceService } from './reference-service.ts';

/**
 * Runs the reference service. Put `<anything>.json` with a manifest into the folder `definitions` to have it run,
 * and an empty file `<computation id>.stop` beside it to have it stopped. Prints each entry as a line of JSON.
 */

const LOOK_EVERY_MS = 500;

const { values } = parseArgs({
  options: {
    address: { type: 'string', default: 'tcp:127.0.0.1:7010' },
    folder: { type: 'string', default: 'service-data' },
    certificate: { type: 'string' },
    key: { type: 'string' },
    authority: { type: 'string' },
  },
});

const definitions = path.join(values.folder, 'definitions');
await mkdir(definitions, { recursive: true });
const service = await ReferenceService.open({
  address: parseAddress(values.address),
  tls: { certificate: values.certificate, key: values.key, authority: values.authority },
  file: path.join(values.folder, 'journal.jsonl'),
  serviceId: 'reference',
  onEntry: (entry) => void process.stdout.write(`${JSON.stringify(entry)}\n`),
});
process.stderr.write(`listening at ${service.address}\n`);

let isEnding = false;
const done = new Set<string>();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => end());

while (!isEnding) {
  for (const file of await readdir(definitions)) if (!done.has(file)) await takeFile(file);
  await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
}
await service.close();

function end(): void {
  isEnding = true;
}

async function takeFile(file: string): Promise<void> {
  const { name, ext } = path.parse(file);
  try {
    if (ext === '.json') {
      const manifest: unknown = JSON.parse(await readFile(path.join(definitions, file), 'utf8'));
      const id: unknown = manifest instanceof Object && 'id' in manifest ? manifest.id : null;
      if (typeof id !== 'string' || !service.computations.has(id)) await service.define(manifest);
    } else if (ext === '.stop') {
      if (!service.computations.has(name)) return;
      await service.stop(name);
    }
  } catch (thrown) {
    process.stderr.write(`${file}: ${thrown instanceof Error ? thrown.message : String(thrown)}\n`);
  }
  done.add(file);
}
