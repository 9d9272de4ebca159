/**
 * Programs passed on the command line of an interpreter in the sandbox. They are part of the agent's program, so they
 * are measured with it and need no mounted file.
 */

/**
 * Python. The arguments are the folder of modules, the main file and the algorithm's arguments. Isolated mode (-I)
 * excludes the program's folder from the path, so the runner adds it. It removes the image's packages, so that a run
 * depends only on the standard library and the archive.
 */
export const PYTHON_RUNNER = `
import runpy, sys
folder, main = sys.argv[1:3]
sys.argv[:] = sys.argv[2:]
sys.path[:] = [folder] + [p for p in sys.path if not p.endswith('-packages')]
runpy.run_path(main, run_name='__main__')
`;

/**
 * WebAssembly with WASI preview 1. The arguments are the module and the algorithm's arguments. The module sees /cocos
 * and /tmp of the sandbox.
 */
export const WASM_RUNNER = `
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
