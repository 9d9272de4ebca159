import { bytesToHex } from '@noble/hashes/utils.js';
import { isoTime } from '../x509/time.ts';
import type { CheckName, CheckStep } from './checks.ts';
import { type Check, type CheckOutcome, countChecks, type Verdict, type VtpmOwner } from './verdict.ts';

/** Formats verdicts for people and for programs. */

const MARKS: Readonly<Record<CheckOutcome, string>> = { passed: 'ok', failed: 'FAILED', 'not-checked': '-' };
/** The table truncates longer values; the JSON does not. */
const MAX_VALUE_CHARACTERS = 128;

/** Replaces characters that move the cursor of a terminal or change its text direction by `?`. */
export function withoutControls(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these characters must not reach the terminal
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, '?');
}

/** One line without control characters: names and versions in evidence are not trusted with a terminal. */
function printable(text: string): string {
  const clean = withoutControls(text);
  return clean.length > MAX_VALUE_CHARACTERS ? `${clean.slice(0, MAX_VALUE_CHARACTERS - 1)}…` : clean;
}

function explain(check: Check, { missing }: Verdict): string {
  const note = check.note === undefined ? '' : printable(check.note);
  if (check.outcome === 'not-checked') {
    const isRequired = missing.includes(check.name);
    return `not checked, ${isRequired ? 'although required' : 'not required by your policy'}: ${note}`;
  }
  const found = printable(check.found);
  if (check.outcome === 'passed') return note === '' ? found : `${found} (${note})`;
  return `expected ${printable(check.expected)}, found ${found}${note === '' ? '' : ` (${note})`}`;
}

const PLATFORM_NAMES: Readonly<Record<Verdict['platform'], string>> = {
  snp: 'AMD SEV-SNP',
  tdx: 'Intel TDX',
  emulated: 'EMULATED, not hardware',
  vtpm: 'TPM',
  dice: 'DICE',
  unknown: 'unknown',
};

function headline(verdict: Verdict): string {
  const platform = verdict.emulated ? PLATFORM_NAMES.emulated : PLATFORM_NAMES[verdict.platform];
  return `${verdict.outcome.toUpperCase()}  platform: ${platform}`;
}

const STEPS: Readonly<Record<CheckStep, string>> = {
  parse: 'Format',
  chain: 'Signer',
  report: 'Authenticity of the report',
  collateral: 'Vendor statements about the platform',
  binding: 'Binding of the evidence',
  launch: 'Launched software',
  policy: 'Policy',
  vtpm: 'vTPM',
  dice: 'DICE',
};

/** One table for each step, in the order of the checks. */
function tables(verdict: Verdict): string[] {
  const { checks } = verdict;
  const width = Math.max(...checks.map((check) => check.name.length));
  const present = new Set(checks.map(({ step }) => step));
  const steps = (Object.keys(STEPS) as CheckStep[]).filter((step) => present.has(step));
  return steps.flatMap((step) => [
    '',
    STEPS[step],
    ...checks
      .filter((check) => check.step === step)
      .map(
        (check) =>
          `  ${MARKS[check.outcome].padEnd(6)}  ${check.name.padEnd(width)}  ${explain(check, verdict)}`,
      ),
  ]);
}

/** The verdict for a reader who reads nothing else: three numbers and one sentence. */
function conclusion(verdict: Verdict): string {
  const { passed, failed, notChecked } = countChecks(verdict);
  const numbers = `${passed} passed, ${failed} failed, ${notChecked} not checked`;
  const { outcome, failures, missing } = verdict;
  if (outcome === 'accepted') {
    const others = notChecked === 0 ? '' : '; it does not require those that were not checked';
    return `${numbers}: every check that your policy requires passed${others}.`;
  }
  const names = failures.join(', ');
  if (failures.every((name) => missing.includes(name))) {
    return `${numbers}: no check failed, but required checks could not be made: ${names}.`;
  }
  return `${numbers}: the evidence is rejected, since these checks failed: ${names}.`;
}

/** What an accepted verdict does not mean, as docs/threat-model.md says it. */
function warnings({ emulated, launch }: Verdict): string[] {
  if (!emulated) return [];
  return [
    launch === 'process'
      ? 'not protected: the agent is a process of the host, which can read its memory and its work folder'
      : 'not protected: the host emulates the platform, and can read the memory of the enclave',
  ];
}

/** What a quote of this vTPM is worth. */
export const VTPM_OWNERS: Readonly<Record<VtpmOwner, string>> = {
  host: 'of the host, as far as the evidence shows: its quote proves nothing against the owner of the host',
  provider: 'of a provider whose root your policy names: its quote proves what this provider vouches for',
  paravisor:
    'of the paravisor whose SNP report binds the key: its quote proves as much as the launch measurement in that report',
  guest:
    'of the guest whose SNP report binds the key. Your policy does not say what that guest is (snp.measurements): its quote proves nothing against whoever started it',
  caller: 'of whoever holds the key that you named: its quote proves nothing against them',
};

/** The build that the evidence was compared with. */
function buildLine({ build, outcome }: Verdict): string[] {
  if (build === undefined) return [];
  const which = outcome === 'accepted' ? 'matches completely' : 'comes closest';
  return [`build:   ${printable(build.name)} ${which} (${build.of} in the reference values)`];
}

/** What is proven, by whom, and how fresh it is. */
function summary(verdict: Verdict): string[] {
  const { checks, emulated, outcome } = verdict;
  const of = (name: CheckName) => checks.find((check) => check.name === name);
  const passed = (name: CheckName): boolean => of(name)?.outcome === 'passed';
  const lines: string[] = [];
  if (outcome === 'accepted') {
    const launched = passed('launch.measurement')
      ? 'the launched software matches the reference values'
      : null;
    const keys = emulated
      ? 'the keys in the claims are those of this enclave'
      : 'the keys in the claims exist only in this enclave';
    const parts = [launched, passed('binding.report-data') ? keys : null].filter((part) => part !== null);
    lines.push(
      `proven:  ${parts.length === 0 ? 'the statement is genuine and satisfies the policy' : parts.join('; ')}`,
    );
    const root = of('chain.root') ?? of('dice.root') ?? of('vtpm.key-binding');
    if (root !== undefined) lines.push(`by:      ${emulated ? 'EMULATED: ' : ''}${printable(root.found)}`);
  }
  lines.push(...buildLine(verdict));
  const { vtpmOwner } = verdict;
  if (vtpmOwner !== undefined) lines.push(`vtpm:    ${VTPM_OWNERS[vtpmOwner]}`);
  const nonce = of('binding.nonce') ?? of('vtpm.qualifying-data');
  if (nonce !== undefined) {
    const fresh =
      nonce.outcome === 'passed' ? 'it answers your nonce' : (nonce.note ?? 'it does not answer your nonce');
    lines.push(`fresh:   ${printable(fresh)}`);
  }
  return lines;
}

/**
 * Formats a verdict: the conclusion, a table with one line per check, and a summary. An emulated platform is marked
 * EMULATED.
 *
 * @returns lines that end with newlines
 */
export function formatVerdict(verdict: Verdict): string {
  const head = [
    headline(verdict),
    conclusion(verdict),
    ...warnings(verdict),
    `evidence: ${verdict.evidenceDigest}`,
    `appraised as of ${isoTime(verdict.at)}`,
  ];
  return [...head, ...tables(verdict), '', ...summary(verdict), ''].join('\n');
}

/** Claims as plain JSON data. */
export function claimsToJson(claims: NonNullable<Verdict['claims']>): Record<string, unknown> {
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
    ...optional(claims.diceRoot, 'diceRoot'),
  };
}

/** The verdict as plain JSON data; byte strings become hex. */
export function verdictToJson(verdict: Verdict): Record<string, unknown> {
  const { outcome, platform, emulated, evidenceDigest, checks, failures } = verdict;
  const base = {
    outcome,
    platform,
    emulated,
    hostCanReadMemory: emulated,
    launch: verdict.launch ?? null,
    build: verdict.build === undefined ? null : { ...verdict.build },
    vtpm:
      verdict.vtpmOwner === undefined
        ? null
        : { owner: verdict.vtpmOwner, meaning: VTPM_OWNERS[verdict.vtpmOwner] },
    evidenceDigest,
    counts: countChecks(verdict),
    at: isoTime(verdict.at),
    failures: [...failures],
    missing: [...verdict.missing],
    checks: checks.map((c) => ({ ...c })),
  };
  return verdict.claims === undefined ? base : { ...base, claims: claimsToJson(verdict.claims) };
}
