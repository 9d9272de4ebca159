import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * V8's compiled form of the agent's bundle, made by the very node that will run it: the guest then parses nothing at
 * its start. One that does not fit is ignored by V8, and the bundle is compiled as ever.
 */

/** Where the hash of V8's flags stands in the header of a cache (V8's `SerializedCodeData`), and its size. */
const FLAG_HASH = { at: 12, size: 4 } as const;
/** Only ends what hangs. */
const LIMIT_MS = 600_000;

/**
 * Compiles the script, runs it when it is to be evaluated, and writes what V8 has compiled by then. Its arguments are
 * the file to compile, whether to evaluate it, and the file to write.
 */
const COMPILER = `
const vm = require('node:vm');
const fs = require('node:fs');
const [script, evaluate, target] = process.argv.slice(1);
const compiled = new vm.Script(fs.readFileSync(script, 'latin1'), { filename: '/usr/lib/cocos/agent.js' });
process.exitCode = 0;
if (evaluate === 'yes') compiled.runInThisContext()(require, 'file:///usr/lib/cocos/agent.js');
setImmediate(() => {
  fs.writeFileSync(target, compiled.createCachedData());
  process.exit(0);
});
`;

/**
 * The cache of a script. The same node and script give the same bytes: V8 keeps its strings in the order of their
 * hashes, so that it is made under a fixed seed, and then marked as of a node with no flags at all.
 *
 * @param node path of the guest's node
 * @param options.evaluate also take in what the start of the script compiles; only for one that ends without COCOS_MODE
 * @param options.work folder for intermediate files
 */
export function makeCodeCache(
  node: string,
  script: Uint8Array,
  { evaluate, work }: { readonly evaluate: boolean; readonly work: string },
): Buffer {
  const file = join(work, 'agent.js');
  writeFileSync(file, script);
  const compile = (flags: readonly string[], evaluated: 'yes' | 'no', name: string): Buffer => {
    const target = join(work, name);
    const result = spawnSync(node, [...flags, '-e', COMPILER, '--', file, evaluated, target], {
      env: {},
      cwd: '/',
      timeout: LIMIT_MS,
      encoding: 'utf8',
    });
    if (result.status !== 0)
      throw new Error(`compiling the agent: ${result.stderr}`, { cause: result.error });
    return readFileSync(target);
  };
  const cache = compile(['--hash-seed=1'], evaluate ? 'yes' : 'no', 'seeded.cache');
  const plain = compile([], 'no', 'plain.cache');
  plain.copy(cache, FLAG_HASH.at, FLAG_HASH.at, FLAG_HASH.at + FLAG_HASH.size);
  return cache;
}
