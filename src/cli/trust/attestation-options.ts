import { CocosError } from '../../errors.ts';
import { systemClock } from '../../runtime/clock.ts';

/** Values of options that several commands of `attestation` take. */

/** A 32-byte nonce. @throws CocosError USAGE */
export function parseNonce(text: string): Uint8Array {
  if (!/^[0-9a-fA-F]{64}$/.test(text)) throw new CocosError('USAGE', 'A nonce is 64 hex digits.');
  return new Uint8Array(Buffer.from(text, 'hex'));
}

/** Bytes in hex, at most 64 of them. @throws CocosError USAGE */
export function parseHex(text: string, what: string): Uint8Array {
  const digits = text.replace(/^0x/, '');
  if (!/^(?:[0-9a-fA-F]{2}){0,64}$/.test(digits))
    throw new CocosError('USAGE', `${what} is at most 64 bytes in hex.`);
  return new Uint8Array(Buffer.from(digits, 'hex'));
}

/** Milliseconds since 1970 of an ISO 8601 time; now when there is none. @throws CocosError USAGE */
export function parseTime(text: string | undefined): number {
  if (text === undefined) return systemClock.wall();
  // Date.parse alone takes many other forms, among them numbers.
  const ms = /^\d{4}-\d{2}-\d{2}(T|$)/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(ms)) throw new CocosError('USAGE', `${text} is no time in ISO 8601.`);
  return ms;
}
