import { checkAlgorithmHead } from '../../../archive/algorithm-file.ts';
import { findProgram, placeProgram, versionOf } from './interpreter.ts';
import { ALGORITHM_PATH, type Algorithm, type RunCommand } from './kind.ts';

/** Node.js before the module runs, with headroom: 48 MiB of private memory and 7 threads were measured on 2 CPUs. */
const NODE_OVERHEAD = { memoryMiB: 128, processes: 16 };
const WASM_PAGES_PER_MIB = 16;
const WASM_MAX_PAGES = 65_536;

/**
 * WebAssembly with WASI preview 1. The arguments are the module and the algorithm's arguments. The module sees /cocos
 * and /tmp of the sandbox.
 */
const WASM_RUNNER = `
import { readFileSync } from 'node:fs';
import { WASI } from 'node:wasi';
const [path, ...rest] = process.argv.slice(1);
const wasi = new WASI({
  version: 'preview1',
  args: ['algorithm', ...rest],
  env: { COCOS_DATASETS: '/cocos/datasets', COCOS_RESULTS: '/cocos/results' },
  preopens: { '/cocos': '/cocos', '/tmp': '/tmp' },
  returnOnExit: true,
});
const module = await WebAssembly.compile(readFileSync(path));
const instance = await WebAssembly.instantiate(module, wasi.getImportObject());
process.exitCode = wasi.start(instance);
`;

/** A WebAssembly module with WASI preview 1. */
export async function prepareWasm({ path, head, args, limits, paths }: Algorithm): Promise<RunCommand> {
  checkAlgorithmHead('wasm', head);
  const node = await findProgram('Node.js', [paths.node ?? process.execPath]);
  const { inside, runtimeFile } = placeProgram(node);
  const pages = Math.min(WASM_MAX_PAGES, limits.memoryMiB * WASM_PAGES_PER_MIB);
  const options = [
    '--no-warnings',
    `--wasm-max-mem-pages=${pages}`,
    '--input-type=module',
    '-e',
    WASM_RUNNER,
  ];
  return {
    argv: [inside, ...options, ALGORITHM_PATH, ...args],
    algorithm: path,
    ...runtimeFile,
    runtime: `wasm, node ${await versionOf(node, ['--version'])}`,
    overhead: NODE_OVERHEAD,
    cleanUp: async () => {},
  };
}
