import { CocosError } from '../../errors.ts';
import { systemClock } from '../../runtime/clock.ts';

/** Parsers of options that several `attestation` commands share. */

/** A 32-byte nonce. @throws CocosError USAGE */
export function parseNonce(text: string): Uint8Array {
  if (!/^[0-9a-fA-F]{64}$/.test(text)) {
    throw new CocosError('USAGE', `Invalid nonce '${text}': expected 32 bytes as 64 hex digits.`);
  }
  return new Uint8Array(Buffer.from(text, 'hex'));
}

/** At most 64 bytes in hex. @throws CocosError USAGE */
export function parseHex(text: string, flag: string): Uint8Array {
  const digits = text.replace(/^0x/, '');
  if (!/^(?:[0-9a-fA-F]{2}){0,64}$/.test(digits)) {
    throw new CocosError('USAGE', `Invalid value '${text}' for ${flag}: expected at most 64 bytes in hex.`);
  }
  return new Uint8Array(Buffer.from(digits, 'hex'));
}

/** Milliseconds since 1970 of an ISO 8601 time; now when there is none. @throws CocosError USAGE */
export function parseTime(text: string | undefined): number {
  if (text === undefined) return systemClock.wall();
  // Date.parse alone accepts many other formats, such as plain numbers.
  const ms = /^\d{4}-\d{2}-\d{2}(T|$)/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(ms)) {
    throw new CocosError(
      'USAGE',
      `Invalid time '${text}': expected ISO 8601, for example 2026-01-31T12:00:00Z.`,
    );
  }
  return ms;
}
