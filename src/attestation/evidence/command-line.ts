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
 * Takes the root hash out of a kernel command line, so that a changed root image and a changed command line are told
 * apart; both parts together are the whole line.
 */
export function splitCommandLine(commandLine: string): SplitCommandLine {
  return {
    rootHashes: Array.from(commandLine.matchAll(ROOT_HASH), (match) => match[1] ?? ''),
    rest: commandLine.replace(ROOT_HASH, `${ROOT_HASH_PARAMETER}=`),
  };
}
