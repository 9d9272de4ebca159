import fc from 'fast-check';

/** One change somewhere in a value of plain data: what stands there is replaced, or left out. */
export function damaged(value: unknown, choices: readonly number[], instead: unknown): unknown {
  const [choice, ...rest] = choices;
  if (choice === undefined || typeof value !== 'object' || value === null) return instead;
  const keys = Object.keys(value);
  const key = keys[choice % (keys.length + 1)];
  if (key === undefined) return instead;
  const entries = Object.entries(value).map(([name, inner]) =>
    name === key ? [name, damaged(inner, rest, instead)] : [name, inner],
  );
  const changed = Object.fromEntries(entries.filter(([, inner]) => inner !== undefined));
  return Array.isArray(value) ? Object.values(changed) : changed;
}

/** What may stand there instead; `undefined` leaves the place out. */
export const instead = fc.oneof(
  fc.constant(undefined),
  fc.jsonValue({ maxDepth: 2 }),
  fc.constantFrom('running', 'committed', 'inSession', { receiving: {} }, ['computation.running'], 'error'),
);
