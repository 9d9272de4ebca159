import fc from 'fast-check';

/** Changes one place in a value of plain data: the member is replaced or removed. */
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

/** Replacement values; `undefined` removes the member. */
export const instead = fc.oneof(
  fc.constant(undefined),
  fc.jsonValue({ maxDepth: 2 }),
  fc.constantFrom('running', 'committed', 'inSession', { receiving: {} }, ['computation.running'], 'error'),
);
