import { CocosError } from '../../errors.ts';

/** JSON (RFC 8259) without duplicate members, in which parsers differ, and without names that JavaScript treats specially. */

const SPECIAL_NAME = '__proto__';

/** Index after the string whose first quotation mark is at `start`. */
function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
  return at + 1;
}

function followedByColon(text: string, from: number): boolean {
  let at = from;
  while (' \t\n\r'.includes(text[at] ?? 'x')) at += 1;
  return text[at] === ':';
}

/** What is wrong with a name in an object, or null; the text is known to be JSON. */
function nameProblem(text: string): string | null {
  // Names of each open object; created with its first name, since most open values of a deep text have none.
  const open: (Set<unknown> | null)[] = [];
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at];
    if (character === '{' || character === '[') open.push(null);
    else if (character === '}' || character === ']') open.pop();
    if (character !== '"') continue;
    const end = endOfString(text, at);
    // Only a name is followed by a colon.
    if (followedByColon(text, end)) {
      const name: unknown = JSON.parse(text.slice(at, end));
      const names = open.at(-1) ?? new Set();
      if (names.has(name)) return `the member ${JSON.stringify(name)} occurs twice`;
      if (name === SPECIAL_NAME) return `the member ${SPECIAL_NAME} is not allowed`;
      open[open.length - 1] = names.add(name);
    }
    at = end - 1;
  }
  return null;
}

/** @throws CocosError INPUT_INVALID when the text is not JSON, or an object in it has a member twice or `__proto__`. */
export function parseStrictJson(text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new CocosError('INPUT_INVALID', 'not valid JSON', { cause });
  }
  const problem = nameProblem(text);
  if (problem !== null) throw new CocosError('INPUT_INVALID', problem);
  return value;
}
