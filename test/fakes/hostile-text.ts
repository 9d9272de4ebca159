import fc from 'fast-check';

/** What may pass to a terminal: no control character, no invisible or bidirectional formatting, no line separator. */
export const FORBIDDEN =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these characters are the subject
  /[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/;

const HOSTILE = [
  ...Array.from({ length: 0x20 }, (_, code) => String.fromCharCode(code)),
  ...Array.from({ length: 0x21 }, (_, code) => String.fromCharCode(0x7f + code)),
  ...'\u061c\u200b\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff',
];

/** Text of somebody who wants to control the terminal of its reader. */
export const hostileText = fc
  .array(fc.oneof(fc.constantFrom(...HOSTILE), fc.string({ maxLength: 5 })), { maxLength: 12 })
  .map((parts) => parts.join(''));
