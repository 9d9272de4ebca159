import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { ensurePinnedPackages } from '../setup/pinned-packages.mjs';
import { bundleAgent } from './agent-bundle.ts';
import { makeImage, OUTPUTS, PROGRAMS, SUMS_SIGNATURE } from './image.ts';
import { AGENT, type BuildOptions, readOptions } from './options.ts';
import { type RootImage, readRootImage } from './root-image.ts';
import { hashInputs, isUpToDate, writeStamp } from './stamp.ts';
import { secureBootKeys } from './uefi/keys.ts';
import { unpackPackages } from './unpack.ts';

const MIB = 1024 * 1024;
/** How much is told of what fills the root image. */
const LARGEST = 8;
const DEPTH = 3;

/** Builds the EOS image; the same inputs give the same bytes on any machine. */
async function buildEos(options: BuildOptions): Promise<string> {
  const begin = performance.now();
  const { packages: list } = ensurePinnedPackages();
  const agent = await bundleAgent(options.agent, { form: 'script' });
  const keys = options.secureBoot === null ? null : secureBootKeys(options.secureBoot);
  const inputs = hashInputs(list, agent, keys);
  const outputs = keys === null ? OUTPUTS : [...OUTPUTS, SUMS_SIGNATURE];
  if (!options.force && isUpToDate(options.out, inputs, outputs)) return `up to date in ${options.out}`;

  const root = options.unsigned === null ? null : rootOf(options.unsigned, hashInputs(list, agent, null));
  mkdirSync(options.out, { recursive: true });
  const work = mkdtempSync(join(options.out, '.work-'));
  try {
    const packages = unpackPackages(list, join(work, 'packages'));
    const isTest = options.agent !== AGENT;
    const { files, rootHash } = makeImage({ packages, agent, keys, work, root, isTest });
    // One of an earlier build would be taken for this one's.
    rmSync(join(options.out, SUMS_SIGNATURE), { force: true });
    for (const name of outputs) {
      const bytes = files[name];
      if (bytes === undefined) throw new Error(`the build made no ${name}`);
      // A running enclave may have the old file open: replace it, never write into it.
      writeFileSync(join(work, 'output'), bytes);
      chmodSync(join(work, 'output'), PROGRAMS.has(name) ? 0o755 : 0o644);
      renameSync(join(work, 'output'), join(options.out, name));
      console.log(`eos: ${name.padEnd(32)} ${(bytes.length / MIB).toFixed(2).padStart(8)} MiB`);
    }
    if (root === null) tellLargest(join(work, 'root'));
    writeStamp(options.out, inputs);
    const seconds = ((performance.now() - begin) / 1000).toFixed(1);
    const signed = keys === null ? 'unsigned' : 'signed for Secure Boot';
    return `built in ${seconds} s in ${options.out}, root hash ${rootHash}, ${signed}`;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The root image of an image that nobody has signed, which keys do not change. */
function rootOf(folder: string, inputs: string): RootImage {
  if (!isUpToDate(folder, inputs, OUTPUTS))
    throw new Error(`${folder} holds no unsigned image of these inputs`);
  return readRootImage(readFileSync(join(folder, 'root.img')), readFileSync(join(folder, 'cmdline'), 'utf8'));
}

function tellLargest(root: string): void {
  console.log('eos: the root holds, before it is compressed:');
  for (const [name, size] of largestFolders(root)) {
    console.log(`eos:   ${name.padEnd(30)} ${(size / MIB).toFixed(2).padStart(8)} MiB`);
  }
}

/** Folders three deep, and files above those, by what they hold in bytes; the largest first. */
function largestFolders(root: string): [string, number][] {
  const sizes = new Map<string, number>();
  for (const path of readdirSync(root, { recursive: true, encoding: 'utf8' })) {
    const stat = lstatSync(join(root, path));
    // `bin` and `lib` are links into `usr`, which are followed.
    const [top = ''] = path.split('/');
    if (!stat.isFile() || lstatSync(join(root, top)).isSymbolicLink()) continue;
    const name = path.split('/').slice(0, DEPTH).join('/');
    sizes.set(name, (sizes.get(name) ?? 0) + stat.size);
  }
  return [...sizes].sort(([, a], [, b]) => b - a).slice(0, LARGEST);
}

try {
  console.log(`eos: ${await buildEos(readOptions(process.argv.slice(2)))}`);
} catch (error) {
  console.error(`eos: failed: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
