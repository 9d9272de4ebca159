/**
 * How many bytes of heap a decoded value holds, to within a small factor and never far below: budgets are kept in these
 * bytes. A step of a machine makes a new context that shares most members with the one before; what is shared is found
 * by identity and not looked into.
 */

const STRING_BYTES = 24;
const NUMBER_BYTES = 16;
const OBJECT_BYTES = 56;
const MEMBER_BYTES = 16;

type Members = Readonly<Record<string, unknown>>;

export function weightOf(value: unknown): number {
  if (typeof value === 'string') return STRING_BYTES + 2 * value.length;
  if (!isObject(value)) return NUMBER_BYTES;
  if (ArrayBuffer.isView(value)) return OBJECT_BYTES + value.byteLength;
  let sum = OBJECT_BYTES;
  for (const name in value) sum += nameWeight(name) + weightOf(value[name]);
  return sum;
}

/** `weightOf(after) - weightOf(before)`, for a value that was made from another one. */
export function weightChange(after: unknown, before: unknown): number {
  if (after === before) return 0;
  if (!hasMembers(after) || !hasMembers(before)) return weightOf(after) - weightOf(before);
  let sum = 0;
  for (const name in after) {
    if (after[name] === before[name] && after[name] !== undefined) continue;
    sum +=
      name in before ? weightChange(after[name], before[name]) : nameWeight(name) + weightOf(after[name]);
  }
  for (const name in before) if (!(name in after)) sum -= nameWeight(name) + weightOf(before[name]);
  return sum;
}

/** What a context holds beyond another one that it was made from, and which is charged already. */
export function addedWeight(context: Members, earlier: Members | null): number {
  let sum = OBJECT_BYTES;
  for (const name in context) {
    const member = context[name];
    const before = earlier === null ? undefined : earlier[name];
    sum += nameWeight(name) + (member === before ? 0 : unsharedWeight(member, before));
  }
  return sum;
}

/** Texts within a new object count, since equal texts may be two. */
function unsharedWeight(value: unknown, earlier: unknown): number {
  if (!hasMembers(value) || !hasMembers(earlier)) return weightOf(value);
  if (value === earlier) return 0;
  let sum = OBJECT_BYTES;
  for (const name in value) sum += nameWeight(name) + unsharedWeight(value[name], earlier[name]);
  return sum;
}

function nameWeight(name: string): number {
  return MEMBER_BYTES + name.length;
}

function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null;
}

function hasMembers(value: unknown): value is Members {
  return isObject(value) && !ArrayBuffer.isView(value);
}
