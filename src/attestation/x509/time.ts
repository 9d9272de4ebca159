import { type DerValue, derError, TAG } from './der.ts';

const DAY_MS = 86_400_000;

/** Days from 1970-01-01 to a date of the proleptic Gregorian calendar; pure, since the verifier has no clock. */
function daysFromCivil(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year;
  const era = Math.floor(y / 400);
  const yearOfEra = y - era * 400;
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1;
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - 719_468;
}

const leap = (year: number): boolean => (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;

function daysInMonth(year: number, month: number): number {
  if (month === 2) return leap(year) ? 29 : 28;
  return [4, 6, 9, 11].includes(month) ? 30 : 31;
}

/**
 * UTCTime or GeneralizedTime as milliseconds since 1970 (RFC 5280 4.1.2.5: seconds present, `Z`, no fraction; years
 * to 2049 as UTCTime, later ones as GeneralizedTime).
 *
 * @throws CocosError EVIDENCE_INVALID
 */
export function timeMs(value: DerValue, what: string): number {
  const text = String.fromCharCode(...value.content.subarray(0, 16));
  const form =
    value.tag === TAG.utcTime ? /^\d{12}Z$/ : value.tag === TAG.generalizedTime ? /^\d{14}Z$/ : null;
  if (form === null || value.content.length > 15 || !form.test(text)) throw derError(`${what} is not a time`);
  const utc = value.tag === TAG.utcTime;
  const digits = utc ? `${Number(text.slice(0, 2)) < 50 ? '20' : '19'}${text}` : text;
  const part = (from: number, size = 2): number => Number(digits.slice(from, from + size));
  const [year, month, day] = [part(0, 4), part(4), part(6)];
  const [hour, minute, second] = [part(8), part(10), part(12)];
  if (!utc && year < 2050) throw derError(`${what} before 2050 is not a UTCTime`);
  const dateOk = month >= 1 && month <= 12 && day >= 1 && day <= daysInMonth(year, month);
  if (!dateOk || hour > 23 || minute > 59 || second > 59) throw derError(`${what} is not a time of day`);
  return daysFromCivil(year, month, day) * DAY_MS + ((hour * 60 + minute) * 60 + second) * 1000;
}

/** Milliseconds since 1970 as `YYYY-MM-DDThh:mm:ssZ`; parts of a second are cut off. */
export function isoTime(ms: number): string {
  const days = Math.floor(ms / DAY_MS);
  const seconds = Math.floor((ms - days * DAY_MS) / 1000);
  const z = days + 719_468;
  const era = Math.floor(z / 146_097);
  const dayOfEra = z - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const shifted = Math.floor((5 * dayOfYear + 2) / 153);
  const day = dayOfYear - Math.floor((153 * shifted + 2) / 5) + 1;
  const month = shifted < 10 ? shifted + 3 : shifted - 9;
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
  const two = (n: number): string => String(n).padStart(2, '0');
  const clock = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60].map(two).join(':');
  return `${String(year).padStart(4, '0')}-${two(month)}-${two(day)}T${clock}Z`;
}

/**
 * Milliseconds since 1970 of `YYYY-MM-DDThh:mm:ssZ`.
 *
 * @throws CocosError EVIDENCE_INVALID
 */
export function instantMs(text: string): number {
  const match = /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})Z$/.exec(text);
  if (match === null) throw derError('a time does not have the format YYYY-MM-DDThh:mm:ssZ');
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match.slice(1).map(Number);
  const dateOk = month >= 1 && month <= 12 && day >= 1 && day <= daysInMonth(year, month);
  if (!dateOk || hour > 23 || minute > 59 || second > 59) throw derError('a time does not exist');
  return daysFromCivil(year, month, day) * DAY_MS + ((hour * 60 + minute) * 60 + second) * 1000;
}
