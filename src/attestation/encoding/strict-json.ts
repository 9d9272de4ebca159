import { CocosError } from '../../errors.ts';

/** JSON (RFC 8259) without duplicate members, in which parsers differ, and without names that JavaScript treats specially. */

const SPECIAL_NAME = '__proto__';

const [QUOTE, COLON, BACKSLASH] = [0x22, 0x3a, 0x5c];
const [OPEN_OBJECT, CLOSE_OBJECT, OPEN_LIST, CLOSE_LIST] = [0x7b, 0x7d, 0x5b, 0x5d];
const SPACES: readonly number[] = [0x20, 0x09, 0x0a, 0x0d];

/** Index after the string whose first quotation mark is at `start`. */
function endOfString(text: string, start: number): number {
  let at = start + 1;
  for (let code = text.charCodeAt(at); code !== QUOTE && at < text.length; code = text.charCodeAt(at))
    at += code === BACKSLASH ? 2 : 1;
  return at + 1;
}

function followedByColon(text: string, from: number): boolean {
  let at = from;
  while (SPACES.includes(text.charCodeAt(at))) at += 1;
  return text.charCodeAt(at) === COLON;
}

/** A name from its text with quotation marks; most have no escapes. */
function nameOf(text: string): unknown {
  return text.includes('\\') ? JSON.parse(text) : text.slice(1, -1);
}

/** What is wrong with a name in an object, or null; the text is known to be JSON. */
function nameProblem(text: string): string | null {
  // Names of each open object; created with its first name, since most open values of a deep text have none.
  const open: (Set<unknown> | null)[] = [];
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === OPEN_OBJECT || code === OPEN_LIST) open.push(null);
    else if (code === CLOSE_OBJECT || code === CLOSE_LIST) open.pop();
    if (code !== QUOTE) continue;
    const end = endOfString(text, at);
    // Only a name is followed by a colon.
    if (followedByColon(text, end)) {
      const name = nameOf(text.slice(at, end));
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
