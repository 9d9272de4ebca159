import { table } from './output.ts';

/** A name at which two lists of named values differ; null where a list has no such name. */
export interface Difference {
  readonly name: string;
  readonly a: string | null;
  readonly b: string | null;
}

/** In the order of the first list, followed by names that only the second has. */
export function differences(
  a: Iterable<readonly [string, string]>,
  b: Iterable<readonly [string, string]>,
): Difference[] {
  const [inA, inB] = [new Map(a), new Map(b)];
  return [...new Set([...inA.keys(), ...inB.keys()])]
    .map((name) => ({ name, a: inA.get(name) ?? null, b: inB.get(name) ?? null }))
    .filter((each) => each.a !== each.b);
}

/** A table of differences for people. */
export function differenceTable(
  heads: readonly (readonly string[])[],
  changed: readonly Difference[],
  shown: (value: string) => string = (value) => value,
): string[] {
  const cell = (value: string | null) => (value === null ? 'absent' : shown(value));
  return table([...heads, ...changed.map((each) => [each.name, cell(each.a), cell(each.b)])]);
}
