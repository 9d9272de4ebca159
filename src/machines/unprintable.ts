/**
 * Characters that control a terminal or change how other text reads: controls, line and paragraph separators, lone
 * surrogates, and invisible or bidirectional formatting. The joiners U+200C and U+200D belong to the spelling of words
 * and emoji.
 */
export const UNPRINTABLE = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** A value as JSON, in which each of these characters is an escape of its string. */
export function printableJson(value: unknown): string {
  return JSON.stringify(value).replace(UNPRINTABLE, (character) =>
    Array.from({ length: character.length }, (_, index) => {
      const unit = character.charCodeAt(index);
      return `\\u${unit.toString(16).padStart(4, '0')}`;
    }).join(''),
  );
}
