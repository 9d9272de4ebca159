import { hexToBytes } from '@noble/hashes/utils.js';
import { CocosError } from '../../errors.ts';
import type { SignedJson } from '../collateral/collateral.ts';
import { parseStrictJson } from '../encoding/strict-json.ts';

/**
 * Answers of Intel's provisioning service: `{"tcbInfo":{…},"signature":"…"}`. The signature is over the bytes of the
 * inner object exactly, so it is cut out of the text and never re-encoded.
 */

const MAX_JSON_CHARACTERS = 4 * 1024 * 1024;
const SIGNATURE = /^[0-9a-fA-F]{128}$/;

const invalid = (sentence: string, cause?: unknown): CocosError =>
  new CocosError('EVIDENCE_INVALID', `signed JSON: ${sentence}`, { cause });

/** Index after the JSON value that starts at `start`; the text is known to be JSON. */
function endOfValue(text: string, start: number): number {
  let depth = 0;
  let inString = false;
  for (let at = start; at < text.length; at += 1) {
    const character = text[at];
    if (inString) {
      if (character === '\\') at += 1;
      else if (character === '"') {
        inString = false;
        if (depth === 0) return at + 1;
      }
    } else if (character === '"') {
      inString = true;
    } else if (character === '{' || character === '[') {
      depth += 1;
    } else if (character === '}' || character === ']') {
      depth -= 1;
      if (depth === 0) return at + 1;
      if (depth < 0) return at;
    } else if (depth === 0 && character === ',') {
      return at;
    }
  }
  return text.length;
}

const skipSpace = (text: string, from: number): number => {
  let at = from;
  while (/\s/.test(text[at] ?? 'x')) at += 1;
  return at;
};

/** The text of each member of a JSON object, by name. */
function memberTexts(text: string): Map<string, string> {
  const members = new Map<string, string>();
  let at = skipSpace(text, 0) + 1;
  for (;;) {
    at = skipSpace(text, at);
    if (text[at] === '}' || at >= text.length) return members;
    const nameEnd = endOfValue(text, at);
    const name: unknown = JSON.parse(text.slice(at, nameEnd));
    const start = skipSpace(text, skipSpace(text, nameEnd) + 1);
    const end = endOfValue(text, start);
    if (typeof name !== 'string' || members.has(name)) throw invalid('a member is there twice');
    members.set(name, text.slice(start, end).trimEnd());
    at = skipSpace(text, end);
    if (text[at] === ',') at += 1;
  }
}

/**
 * Splits an answer into the signed bytes and their signature.
 *
 * @param name `tcbInfo` or `enclaveIdentity`.
 * @throws CocosError EVIDENCE_INVALID
 */
export function splitSignedJson(text: string, name: 'tcbInfo' | 'enclaveIdentity'): SignedJson {
  if (text.length > MAX_JSON_CHARACTERS) throw invalid('larger than 4 MiB');
  let whole: unknown;
  try {
    whole = JSON.parse(text);
  } catch (cause) {
    throw invalid('not valid JSON', cause);
  }
  if (typeof whole !== 'object' || whole === null || Array.isArray(whole)) throw invalid('not an object');
  const members = memberTexts(text);
  const body = members.get(name);
  const signature: unknown = JSON.parse(members.get('signature') ?? 'null');
  if (
    members.size !== 2 ||
    body === undefined ||
    typeof signature !== 'string' ||
    !SIGNATURE.test(signature)
  ) {
    throw invalid(`not an object of ${name} and signature`);
  }
  return { body: new TextEncoder().encode(body), signature: hexToBytes(signature.toLowerCase()) };
}

/**
 * Parses the signed bytes themselves as JSON without duplicate members.
 *
 * @throws CocosError EVIDENCE_INVALID
 */
export function parseSignedBody(body: Uint8Array): unknown {
  if (body.length > MAX_JSON_CHARACTERS) throw invalid('larger than 4 MiB');
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch (cause) {
    throw invalid('the signed bytes are not UTF-8', cause);
  }
  try {
    return parseStrictJson(text);
  } catch (cause) {
    throw invalid(`the signed bytes: ${CocosError.from(cause).message}`, cause);
  }
}
