/** Finds settings that no program of the project has, which are probably misspelt. */

export interface UnknownSetting {
  readonly setting: string;
  /** The known setting with the most similar name. */
  readonly nearest: string;
}

/** Read by the command line and by the builds. */
const OTHER_PROGRAMS: readonly string[] = [
  'COCOSAI_CACHE',
  'COCOSAI_COLLATERAL_DIR',
  'COCOSAI_DEBIAN_MIRROR',
  'COCOSAI_DEBIAN_SECURITY_MIRROR',
  'COCOSAI_MANAGER',
];

export function findUnknownSettings(
  environment: NodeJS.ProcessEnv,
  known: readonly string[],
): UnknownSetting[] {
  const names = Object.keys(environment).filter((name) => name.startsWith('COCOSAI_'));
  return names
    .filter((name) => !known.includes(name) && !OTHER_PROGRAMS.includes(name))
    .map((setting) => ({ setting, nearest: nearestTo(setting, known) }));
}

function nearestTo(name: string, known: readonly string[]): string {
  let nearest = '';
  let least = Number.POSITIVE_INFINITY;
  for (const each of known) {
    const edits = editsBetween(name, each);
    if (edits >= least) continue;
    least = edits;
    nearest = each;
  }
  return nearest;
}

/** Letters to insert, delete or replace (Levenshtein distance), row by row of the usual table. */
function editsBetween(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (const [at, letter] of [...from].entries()) {
    const next = [at + 1];
    for (let index = 1; index <= to.length; index++) {
      const replaced = (row[index - 1] ?? 0) + (to[index - 1] === letter ? 0 : 1);
      next.push(Math.min(replaced, (row[index] ?? 0) + 1, (next[index - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}
