/** What every kind of algorithm has in common. A kind is one file beside this one and one row of `kinds.ts`. */

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

/** An algorithm before its run. */
export interface Algorithm {
  readonly path: string;
  /** The first bytes of the file, which determine its kind. */
  readonly head: Buffer;
  readonly args: readonly string[];
  readonly limits: { readonly memoryMiB: number; readonly diskMiB: number };
  readonly paths: RuntimePaths;
}

/**
 * Checks that the file is of the kind, unpacks it if it is an archive, and finds the interpreter.
 *
 * @throws CocosError ALGORITHM_INVALID if the file is not of the kind, ARCHIVE_UNSAFE for a bad archive,
 * SANDBOX_UNAVAILABLE if the interpreter is missing
 */
export type PrepareKind = (algorithm: Algorithm) => Promise<RunCommand>;

/** Where the sandbox shows the algorithm. */
export const ALGORITHM_PATH = '/cocos/algorithm';
export const NO_OVERHEAD = { memoryMiB: 0, processes: 0 };
