/**
 * How many bytes of heap a decoded value holds, to within a small factor and never far below: budgets are kept in these
 * bytes.
 */

const STRING_BYTES = 24;
const NUMBER_BYTES = 16;
const OBJECT_BYTES = 56;
const MEMBER_BYTES = 16;

/** Of the values inside a value, which are never changed: charts replace what they change. */
const known = new WeakMap<object, number>();

export function weightOf(value: Readonly<Record<string, unknown>>): number {
  let sum = OBJECT_BYTES;
  for (const name in value) sum += MEMBER_BYTES + memberWeight(value[name]);
  return sum;
}

/** Of what a value holds beyond an earlier value that it was made from, and which is charged already. */
export function addedWeight(
  value: Readonly<Record<string, unknown>>,
  earlier: Readonly<Record<string, unknown>> | null,
): number {
  let sum = OBJECT_BYTES;
  for (const name in value) {
    const member = value[name];
    sum += MEMBER_BYTES + (earlier !== null && earlier[name] === member ? 0 : memberWeight(member));
  }
  return sum;
}

function memberWeight(value: unknown): number {
  if (typeof value === 'string') return STRING_BYTES + 2 * value.length;
  if (typeof value !== 'object' || value === null) return NUMBER_BYTES;
  const before = known.get(value);
  if (before !== undefined) return before;
  let sum = OBJECT_BYTES;
  if (ArrayBuffer.isView(value)) sum += value.byteLength;
  else
    for (const [name, member] of Object.entries(value))
      sum += MEMBER_BYTES + name.length + memberWeight(member);
  known.set(value, sum);
  return sum;
}
