import type { z } from 'zod';

/**
 * What is wrong with a value that a schema refused, for people: the place, what is expected there and what was found. The
 * library's own texts name its concepts, not those of the reader.
 */

type Issue = z.core.$ZodIssue;

const MAX_SHOWN_CHARACTERS = 60;
const MAX_PROBLEMS = 8;

/** One text for each problem, such as `datasets[0].digest: expected a string, found 7`. */
export function schemaProblems(error: z.ZodError, value: unknown): string[] {
  const all = error.issues.map((issue) => problemOf(issue, value));
  const more = all.length - MAX_PROBLEMS;
  return more > 0 ? [...all.slice(0, MAX_PROBLEMS), `and ${more} more`] : all;
}

/** A place in a document: `a.b[0]`. */
export function placeOf(path: readonly PropertyKey[]): string {
  const text = path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`)).join('');
  return text.replace(/^\./, '') || 'the document';
}

function problemOf(issue: Issue, value: unknown): string {
  if (issue.code === 'invalid_union') {
    // The alternative that was meant is the one that fits at its top.
    const inner = issue.errors.find(
      (issues) => issues.length > 0 && issues.every(({ path }) => path.length > 0),
    );
    const [first] = inner ?? [];
    if (first !== undefined) return problemOf({ ...first, path: [...issue.path, ...first.path] }, value);
  }
  const where = placeOf(issue.path);
  if (issue.code === 'unrecognized_keys')
    return `${where}: unknown member ${issue.keys.map(quoted).join(', ')}`;
  if (issue.code === 'custom' && !isLibraryText(issue.message)) return `${where}: ${issue.message}`;
  const found = valueAt(value, issue.path);
  return `${where}: expected ${expectationOf(issue)}, found ${found === undefined ? 'nothing' : quoted(found)}`;
}

function expectationOf(issue: Issue): string {
  if (issue.message !== '' && !isLibraryText(issue.message)) return issue.message.replace(/^must be /, '');
  switch (issue.code) {
    case 'invalid_type':
      return TYPES[issue.expected] ?? issue.expected;
    case 'invalid_value':
      return issue.values.map(quoted).join(' or ');
    case 'too_small':
      return `at least ${issue.minimum}${unitOf(issue.origin)}`;
    case 'too_big':
      return `at most ${issue.maximum}${unitOf(issue.origin)}`;
    case 'invalid_format':
      return issue.pattern === undefined ? `the form '${issue.format}'` : `the form ${issue.pattern}`;
    case 'invalid_union':
      return (
        [...new Set(issue.errors.flatMap((issues) => issues.map(expectationOf)))].join(' or ') ||
        'another value'
      );
    default:
      return 'another value';
  }
}

const TYPES: Readonly<Record<string, string>> = {
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
};

function unitOf(origin: string): string {
  if (origin === 'string') return ' characters';
  return ['array', 'set', 'map'].includes(origin) ? ' items' : '';
}

/** Messages that the schemas of this project give do not begin like this. */
function isLibraryText(message: string): boolean {
  return /^(Invalid|Too (big|small)|Unrecognized|Expected|Required)\b/.test(message);
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (inner, part) => (typeof inner === 'object' && inner !== null ? Reflect.get(inner, part) : undefined),
    value,
  );
}

function quoted(value: unknown): string {
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'a list' : 'an object';
  const text = typeof value === 'bigint' ? String(value) : (JSON.stringify(value) ?? 'nothing');
  return text.length > MAX_SHOWN_CHARACTERS ? `${text.slice(0, MAX_SHOWN_CHARACTERS - 1)}…` : text;
}
