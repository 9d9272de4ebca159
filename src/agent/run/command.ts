import { execFile } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { access, open, realpath, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { unpackArchive } from '../../archive/unpack.ts';
import { CocosError } from '../../errors.ts';
import { PYTHON_RUNNER, WASM_RUNNER } from './kinds.ts';

/** The command that starts an algorithm of each kind in the sandbox, and the checks before it. */

export type RunKind = 'binary' | 'python' | 'wasm';

/** Paths of the programs; the usual ones by default. */
export interface RuntimePaths {
  readonly bwrap?: string;
  readonly prlimit?: string;
  readonly python?: string;
  readonly node?: string;
}

export interface RunCommand {
  /** Program and arguments as seen in the sandbox. */
  readonly argv: readonly string[];
  /** File or folder of the host that becomes /cocos/algorithm. */
  readonly algorithm: string;
  /** A program of the host outside /usr that becomes /cocos/runtime. */
  readonly runtimeFile?: string;
  /** Name and version for the receipt. */
  readonly runtime: string;
  /** What the interpreter needs in addition to the algorithm's limits. */
  readonly overhead: { readonly memoryMiB: number; readonly processes: number };
  /** Removes unpacked files. */
  cleanUp(): Promise<void>;
}

const ALGORITHM = '/cocos/algorithm';
const RUNTIME = '/cocos/runtime';
const PYTHON_PATHS = ['/usr/bin/python3', '/usr/bin/python3.11', '/usr/bin/python3.13'];
const VERSION_TIMEOUT_MS = 10_000;
const NO_OVERHEAD = { memoryMiB: 0, processes: 0 };
/** Node.js before the module runs, with headroom: 48 MiB of private memory and 7 threads were measured on 2 CPUs. */
const NODE_OVERHEAD = { memoryMiB: 128, processes: 16 };
const WASM_PAGES_PER_MIB = 16;
const WASM_MAX_PAGES = 65_536;
/** Bytes of a file that determine its kind: the tar magic is at offset 257. */
const HEAD_BYTES = 512;

/**
 * Prepares an algorithm: checks that the file is of its declared kind, unpacks a Python archive beside it, and finds
 * the interpreter.
 * @throws CocosError ALGORITHM_INVALID if the file is not of its kind, ARCHIVE_UNSAFE for a bad archive,
 * SANDBOX_UNAVAILABLE if the interpreter is missing
 */
export async function prepareCommand(
  kind: RunKind,
  algorithmPath: string,
  args: readonly string[],
  limits: { readonly memoryMiB: number; readonly diskMiB: number },
  paths: RuntimePaths,
): Promise<RunCommand> {
  const head = await readHead(algorithmPath);
  if (kind === 'binary') return binaryCommand(algorithmPath, head, args);
  if (kind === 'python') return pythonCommand(algorithmPath, head, args, limits.diskMiB, paths);
  return wasmCommand(algorithmPath, head, args, limits.memoryMiB, paths);
}

function binaryCommand(path: string, head: Buffer, args: readonly string[]): RunCommand {
  const isElf = head.subarray(0, 4).equals(Buffer.from('\x7fELF', 'latin1'));
  if (isElf) requireOwnMachine(head);
  else if (head.subarray(0, 2).toString('latin1') !== '#!') {
    throw invalid('was declared as binary but is neither an ELF program nor a script with a #! line');
  }
  return {
    argv: [ALGORITHM, ...args],
    algorithm: path,
    runtime: 'binary',
    overhead: NO_OVERHEAD,
    cleanUp: async () => {},
  };
}

/** ELF header: class at 4, byte order at 5, type at 16 (2 and 3 are executables), machine at 18 (62 is x86-64). */
function requireOwnMachine(head: Buffer): void {
  const fits = head.length >= 64 && head[4] === 2 && head[5] === 1;
  if (!fits || ![2, 3].includes(head.readUInt16LE(16)) || head.readUInt16LE(18) !== 62) {
    throw invalid('is an ELF file but not a program for x86-64');
  }
}

async function pythonCommand(
  path: string,
  head: Buffer,
  args: readonly string[],
  diskMiB: number,
  paths: RuntimePaths,
): Promise<RunCommand> {
  const python = await findProgram('Python', paths.python === undefined ? PYTHON_PATHS : [paths.python]);
  const isArchive = head.subarray(257, 262).toString('latin1') === 'ustar';
  if (!isArchive && head.includes(0))
    throw invalid('was declared as python but is neither a Python source nor a tar archive');
  const unpacked = isArchive ? `${path}.unpacked` : undefined;
  const cleanUp = async () => {
    if (unpacked !== undefined) await rm(unpacked, { recursive: true, force: true });
  };
  if (unpacked !== undefined) {
    const limits = { maxBytes: diskMiB * 1024 * 1024, maxEntries: 100_000 };
    await unpackArchive(createReadStream(path), unpacked, limits);
    await access(join(unpacked, 'main.py')).catch(async (cause: unknown) => {
      await cleanUp();
      throw new CocosError(
        'ALGORITHM_INVALID',
        "The algorithm's archive has no 'main.py' at its top level; add one.",
        { cause },
      );
    });
  }
  const [folder, main] = isArchive ? [ALGORITHM, `${ALGORITHM}/main.py`] : ['/cocos', ALGORITHM];
  const { inside, runtimeFile } = placeProgram(python);
  return {
    argv: [inside, '-I', '-B', '-u', '-c', PYTHON_RUNNER, folder, main, ...args],
    algorithm: unpacked ?? path,
    ...runtimeFile,
    runtime: (await versionOf(python, ['-I', '-V'])).replace(/^Python/, 'python'),
    overhead: NO_OVERHEAD,
    cleanUp,
  };
}

async function wasmCommand(
  path: string,
  head: Buffer,
  args: readonly string[],
  memoryMiB: number,
  paths: RuntimePaths,
): Promise<RunCommand> {
  if (!head.subarray(0, 4).equals(Buffer.from('\0asm', 'latin1')))
    throw invalid('was declared as wasm but is not a WebAssembly module');
  const node = await findProgram('Node.js', [paths.node ?? process.execPath]);
  const { inside, runtimeFile } = placeProgram(node);
  const pages = Math.min(WASM_MAX_PAGES, memoryMiB * WASM_PAGES_PER_MIB);
  const options = [
    '--no-warnings',
    `--wasm-max-mem-pages=${pages}`,
    '--input-type=module',
    '-e',
    WASM_RUNNER,
  ];
  return {
    argv: [inside, ...options, ALGORITHM, ...args],
    algorithm: path,
    ...runtimeFile,
    runtime: `wasm, node ${await versionOf(node, ['--version'])}`,
    overhead: NODE_OVERHEAD,
    cleanUp: async () => {},
  };
}

/** The sandbox contains /usr. A program outside it is mounted separately. */
function placeProgram(path: string): { inside: string; runtimeFile: { runtimeFile?: string } } {
  if (path.startsWith('/usr/')) return { inside: path, runtimeFile: {} };
  return { inside: RUNTIME, runtimeFile: { runtimeFile: path } };
}

async function findProgram(name: string, candidates: readonly string[]): Promise<string> {
  for (const candidate of candidates) {
    const found = await realpath(candidate).catch(() => undefined);
    if (found !== undefined) return found;
  }
  throw new CocosError(
    'SANDBOX_UNAVAILABLE',
    `${name} was not found at ${candidates.join(', ')}; install it or select another runtime.`,
  );
}

async function versionOf(program: string, args: readonly string[]): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(program, [...args], {
      timeout: VERSION_TIMEOUT_MS,
      env: {},
    });
    return stdout.trim();
  } catch (cause) {
    throw new CocosError('SANDBOX_UNAVAILABLE', `The interpreter '${program}' does not run.`, { cause });
  }
}

async function readHead(path: string): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

function invalid(why: string): CocosError {
  return new CocosError('ALGORITHM_INVALID', `The algorithm ${why}.`);
}
