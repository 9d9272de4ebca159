/**
 * Characters that control a terminal or change how other text reads: controls, line and paragraph separators, lone
 * surrogates, and invisible or bidirectional formatting. The joiners U+200C and U+200D belong to the spelling of words
 * and emoji.
 */
export const UNPRINTABLE = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
