import { bytesToHex } from '@noble/hashes/utils.js';
import type { Check, CheckOutcome, Verdict } from './verdict.ts';

/** Verdicts for people and for programs. */

const MARKS: Readonly<Record<CheckOutcome, string>> = { passed: 'ok', failed: 'FAILED', 'not-checked': '-' };
/** Longer values are shortened in the table, never in the JSON form. */
const MAX_VALUE_CHARACTERS = 128;

/** One line without control characters: names and versions in evidence are not trusted with a terminal. */
function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not reach the terminal
  const clean = text.replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, '?');
  return clean.length > MAX_VALUE_CHARACTERS ? `${clean.slice(0, MAX_VALUE_CHARACTERS - 1)}…` : clean;
}

function explain(check: Check): string {
  const note = check.note === undefined ? '' : printable(check.note);
  if (check.outcome === 'not-checked') return `not checked: ${note}`;
  const found = printable(check.found);
  if (check.outcome === 'passed') return note === '' ? found : `${found} (${note})`;
  return `expected ${printable(check.expected)}, found ${found}${note === '' ? '' : ` (${note})`}`;
}

function headline(verdict: Verdict): string {
  const platform = verdict.emulated ? 'EMULATED, not hardware' : verdict.platform.toUpperCase();
  return `${verdict.outcome.toUpperCase()}  platform: ${platform}`;
}

/**
 * A table with one line for each check. An emulated platform is named EMULATED in capitals.
 *
 * @returns lines ended by newlines.
 */
export function formatVerdict(verdict: Verdict): string {
  const width = Math.max(...verdict.checks.map((check) => check.name.length));
  const rows = verdict.checks.map(
    (check) => `  ${MARKS[check.outcome].padEnd(6)}  ${check.name.padEnd(width)}  ${explain(check)}`,
  );
  const last =
    verdict.failures.length === 0
      ? 'every required check passed'
      : `rejected for: ${verdict.failures.join(', ')}`;
  return [headline(verdict), `evidence: ${verdict.evidenceDigest}`, ...rows, last, ''].join('\n');
}

function claimsToJson(claims: NonNullable<Verdict['claims']>): Record<string, unknown> {
  const optional = (value: Uint8Array | undefined, name: string) =>
    value === undefined ? {} : { [name]: bytesToHex(value) };
  return {
    version: claims.version,
    platform: claims.platform,
    bootId: bytesToHex(claims.bootId),
    signingKey: bytesToHex(claims.signingKey),
    kemKeys: claims.kemKeys.map(({ kem, publicKey }) => ({ kem, publicKey: bytesToHex(publicKey) })),
    manifestDigest: claims.manifestDigest === null ? null : `sha256:${bytesToHex(claims.manifestDigest)}`,
    eosVersion: claims.eosVersion,
    ...optional(claims.tpmAk, 'tpmAk'),
    ...optional(claims.diceLeaf, 'diceLeaf'),
  };
}

/** The verdict as plain JSON data; byte strings become hex. */
export function verdictToJson(verdict: Verdict): Record<string, unknown> {
  const { outcome, platform, emulated, evidenceDigest, checks, failures } = verdict;
  const base = {
    outcome,
    platform,
    emulated,
    evidenceDigest,
    failures: [...failures],
    checks: checks.map((c) => ({ ...c })),
  };
  return verdict.claims === undefined ? base : { ...base, claims: claimsToJson(verdict.claims) };
}
