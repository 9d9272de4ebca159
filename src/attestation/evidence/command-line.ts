/** The kernel parameter that carries the root hash of the root image. */
const ROOT_HASH_PARAMETER = 'cocos.roothash';
const ROOT_HASH = new RegExp(`(?<=^|\\s)${ROOT_HASH_PARAMETER}=(\\S*)`, 'g');

export interface SplitCommandLine {
  /** Every value of the root hash parameter; a sound command line has exactly one. */
  readonly rootHashes: readonly string[];
  /** The command line with those values blanked. */
  readonly rest: string;
}

/**
 * Separates the root hash from a kernel command line, to distinguish a changed root image from a changed command line.
 * Both parts together are the complete line.
 */
export function splitCommandLine(commandLine: string): SplitCommandLine {
  return {
    rootHashes: Array.from(commandLine.matchAll(ROOT_HASH), (match) => match[1] ?? ''),
    rest: commandLine.replace(ROOT_HASH, `${ROOT_HASH_PARAMETER}=`),
  };
}
