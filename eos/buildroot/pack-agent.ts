import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';
import { VERSION } from '../../src/version.ts';
import { ADDON, bundleAgent } from '../agent-bundle.ts';
import { AGENT, ROOT } from '../options.ts';

/** Makes the archive of Buildroot's package `cocosai-agent` and writes its SHA-256 beside the package. */

const NAME = `cocosai-agent-${VERSION}`;
const TREE = join(ROOT, 'eos/buildroot');

const agent = await bundleAgent(AGENT, { form: 'script' });
const source = (path: string): Buffer => readFileSync(join(ROOT, path));
const licence = source('LICENSE');
const entries: [string, Uint8Array][] = [
  ['LICENSE', licence],
  ['agent.js', agent.script],
  ['init.sh', source('eos/init/init.sh')],
  [ADDON, agent.addon],
  ['start.cjs', source('eos/init/start.cjs')],
];
const tar = pack();
for (const [name, bytes] of entries) {
  tar.entry({ name: `${NAME}/${name}`, mode: 0o644, mtime: new Date(0) }, Buffer.from(bytes));
}
tar.finalize();
const archive = gzipSync(await buffer(tar));

const line = (bytes: Uint8Array, name: string): string =>
  `sha256  ${createHash('sha256').update(bytes).digest('hex')}  ${name}\n`;
const file = `${NAME}.tar.gz`;
mkdirSync(join(TREE, 'dl'), { recursive: true });
writeFileSync(join(TREE, 'dl', file), archive);
writeFileSync(
  join(TREE, 'package/cocosai-agent/cocosai-agent.hash'),
  `# Written by eos/buildroot/pack-agent.ts\n${line(archive, file)}${line(licence, 'LICENSE')}`,
);
console.log(`eos/buildroot/dl/${file}: ${archive.length} bytes`);
