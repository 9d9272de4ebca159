import { utf8 } from '../crypto/bytes.ts';
import { sha256Text } from '../crypto/digest.ts';
import type { Manifest } from '../machines/manifest.ts';

/** One member of a manifest: its path, such as `datasets[0].digest`, and its value as JSON writes it. */
export interface Member {
  readonly path: string;
  readonly value: string;
}

/** Every member, in the order of the document. An empty list is a member too. */
export function membersOf(manifest: Manifest): Member[] {
  return flatten(manifest, '');
}

function flatten(value: unknown, path: string): Member[] {
  if (Array.isArray(value) && value.length > 0) {
    return value.flatMap((item: unknown, index) => flatten(item, `${path}[${index}]`));
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return Object.entries(value)
      .filter(([, item]) => item !== undefined)
      .flatMap(([name, item]) => flatten(item, path === '' ? name : `${path}.${name}`));
  }
  return [{ path, value: JSON.stringify(value) }];
}

/** Longer values are shown as their beginning and their digest. */
const MAX_SHOWN = 100;
const SHOWN_BEGINNING = 24;

/**
 * The value of a member for people. Text that a party chose stays in quotes, so that spaces at its ends and escapes are
 * unambiguous; keys and digests need none.
 */
export function shownValue(value: string): string {
  if (value === '[]') return 'none';
  const plain = /^"[A-Za-z0-9][A-Za-z0-9:._-]*"$/.test(value) ? value.slice(1, -1) : value;
  // An X-Wing key has 1622 characters. Arguments of an algorithm are shown in full.
  if (plain.length <= MAX_SHOWN || plain === value) return plain;
  return `${plain.slice(0, SHOWN_BEGINNING)}… ${sha256Text(utf8(plain))}`;
}
