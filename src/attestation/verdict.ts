import { bytesToHex } from '@noble/hashes/utils.js';
import { CHECK_NAMES, CHECKS, type CheckName, type CheckStep } from './checks.ts';
import type { Claims, PlatformName } from './claims.ts';

export type CheckOutcome = 'passed' | 'failed' | 'not-checked';

export interface Check {
  readonly name: CheckName;
  readonly step: CheckStep;
  readonly expected: string;
  readonly found: string;
  readonly outcome: CheckOutcome;
  readonly note?: string;
}

/** Result of an appraisal: plain data that explains itself. */
export interface Verdict {
  readonly outcome: 'accepted' | 'rejected';
  /** From the root that signed, never from the claims alone; `unknown` when no root was established. */
  readonly platform: PlatformName | 'unknown';
  /** Whether the report comes from an emulated security processor, trusted or not. */
  readonly emulated: boolean;
  /** `sha256:` and hex, of the evidence bytes. */
  readonly evidenceDigest: string;
  /** The claims as parsed, also on rejection; nothing in them is proven unless the outcome is `accepted`. */
  readonly claims?: Claims;
  /** One entry for each row of the table of checks, in its order. */
  readonly checks: readonly Check[];
  /** Names of the checks for which the evidence is rejected; empty when it is accepted. */
  readonly failures: readonly CheckName[];
}

type Entry = Omit<Check, 'name' | 'step'>;

const NOT_REACHED: Entry = {
  expected: '-',
  found: '-',
  outcome: 'not-checked',
  note: 'not reached because an earlier check failed',
};

/** Collects outcomes while the evidence is walked. The first failure of a check stands. */
export class CheckList {
  readonly #entries = new Map<CheckName, Entry>();

  #set(name: CheckName, entry: Entry): void {
    if (this.#entries.get(name)?.outcome !== 'failed') this.#entries.set(name, entry);
  }

  /** Records whether `found` is what was expected; returns the same boolean. */
  record(name: CheckName, ok: boolean, expected: string, found: string, note?: string): boolean {
    const base = { expected, found, outcome: ok ? ('passed' as const) : ('failed' as const) };
    this.#set(name, note === undefined ? base : { ...base, note });
    return ok;
  }

  /** Compares byte strings, shown in hex. */
  equalBytes(name: CheckName, expected: Uint8Array, found: Uint8Array, note?: string): boolean {
    return this.equal(name, bytesToHex(expected), bytesToHex(found), note);
  }

  /** Compares texts. */
  equal(name: CheckName, expected: string, found: string, note?: string): boolean {
    return this.record(name, expected === found, expected, found, note);
  }

  notChecked(name: CheckName, note: string): void {
    this.#set(name, { expected: '-', found: '-', outcome: 'not-checked', note });
  }

  /** Whether every one of these checks has passed. */
  passed(...names: readonly CheckName[]): boolean {
    return names.every((name) => this.#entries.get(name)?.outcome === 'passed');
  }

  /**
   * The whole table and the names that reject: each failed check, and each required one that was not reached (listed
   * only when nothing failed, since otherwise that failure is the reason).
   */
  finish(): { checks: Check[]; failures: CheckName[] } {
    const checks = CHECK_NAMES.map(
      (name): Check => ({ name, step: CHECKS[name].step, ...(this.#entries.get(name) ?? NOT_REACHED) }),
    );
    const failed = checks.filter((check) => check.outcome === 'failed');
    const missing = checks.filter((check) => CHECKS[check.name].required && check.outcome !== 'passed');
    const rejecting = failed.length > 0 ? failed : missing;
    return { checks, failures: rejecting.map((check) => check.name) };
  }
}
