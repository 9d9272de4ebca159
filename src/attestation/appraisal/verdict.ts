import { bytesToHex } from '@noble/hashes/utils.js';
import type { Claims, PlatformName } from '../evidence/claims.ts';
import { CHECK_NAMES, CHECKS, type CheckName, type CheckStep } from './checks.ts';

export type CheckOutcome = 'passed' | 'failed' | 'not-checked';

export interface Check {
  readonly name: CheckName;
  readonly step: CheckStep;
  readonly expected: string;
  readonly found: string;
  readonly outcome: CheckOutcome;
  readonly note?: string;
}

/** The subject of a verdict: a complete bundle, or a single statement. */
export type VerdictPlatform = PlatformName | 'vtpm' | 'dice' | 'unknown';

/**
 * Whose a vTPM is: of the host, since only the claims name its key; of a provider whose root the policy names; of the
 * paravisor whose hardware report binds the key; of a guest whose report does, but whose measurement no policy names; or
 * unknown to the verifier, since the caller named the key.
 */
export type VtpmOwner = 'host' | 'provider' | 'paravisor' | 'guest' | 'caller';

/** Result of an appraisal, as plain data. */
export interface Verdict {
  readonly outcome: 'accepted' | 'rejected';
  /** From the root that signed, never from the claims alone; `unknown` when no root was established. */
  readonly platform: VerdictPlatform;
  /** Whether the report comes from an emulated security processor, trusted or not. */
  readonly emulated: boolean;
  /** What the launch log of the evidence describes; absent if it has none. A process is in no way apart from its host. */
  readonly launch?: 'vm' | 'process';
  /** The build of the reference values that matched or, on rejection, came closest, and of how many; only for bundles. */
  readonly build?: { readonly name: string; readonly of: number };
  /** Whose the vTPM is; absent without a quote. */
  readonly vtpmOwner?: VtpmOwner;
  /** `sha256:` and hex, of the evidence bytes. */
  readonly evidenceDigest: string;
  /** Time of appraisal, milliseconds since 1970. */
  readonly at: number;
  /** The claims as parsed, also on rejection; nothing in them is proven unless the outcome is `accepted`. */
  readonly claims?: Claims;
  /** One entry for each check of the scope, in the order of the table. */
  readonly checks: readonly Check[];
  /** Names of the checks for which the evidence is rejected; empty when it is accepted. */
  readonly failures: readonly CheckName[];
  /** Required checks that could not be made. If `failures` contains only these, the evidence is incomplete, not false. */
  readonly missing: readonly CheckName[];
}

/** The three numbers of a verdict. A check that failed, or that was not made although it is required, rejects. */
export function countChecks({ checks }: Pick<Verdict, 'checks'>) {
  const count = (outcome: CheckOutcome) => checks.filter((check) => check.outcome === outcome).length;
  return { passed: count('passed'), failed: count('failed'), notChecked: count('not-checked') };
}

type Entry = Omit<Check, 'name' | 'step'>;

const NOT_REACHED: Entry = {
  expected: '-',
  found: '-',
  outcome: 'not-checked',
  note: 'not reached because an earlier check failed',
};

/** Collects outcomes during an appraisal. The first failure of a check is final. */
export class CheckList {
  readonly #entries = new Map<CheckName, Entry>();
  readonly #required = new Set<CheckName>();
  #scope: readonly CheckName[];

  /** @param scope the checks that the verdict lists; all checks by default. */
  constructor(scope: readonly CheckName[] = CHECK_NAMES) {
    this.#scope = scope;
  }

  /** Changes the scope of the verdict when the content of the evidence is known. */
  setScope(scope: readonly CheckName[]): void {
    this.#scope = scope;
  }

  #set(name: CheckName, entry: Entry): void {
    if (this.#entries.get(name)?.outcome !== 'failed') this.#entries.set(name, entry);
  }

  /** Records whether `found` matches the expectation; returns that boolean. */
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

  /** Whether `found`, in hex, is one of the listed values; not checked when there is no list. */
  oneOf(name: CheckName, list: readonly string[] | undefined, found: Uint8Array, absent: string): void {
    if (list === undefined) {
      this.notChecked(name, absent);
      return;
    }
    const text = bytesToHex(found);
    this.record(name, list.includes(text), list.join(' or '), text);
  }

  notChecked(name: CheckName, note: string): void {
    this.#set(name, { expected: '-', found: '-', outcome: 'not-checked', note });
  }

  /** Records a required check that cannot be made, so that the evidence is rejected as incomplete. */
  missing(name: CheckName, note: string): void {
    this.#required.add(name);
    this.notChecked(name, note);
  }

  /** Whether every one of these checks has passed. */
  passed(...names: readonly CheckName[]): boolean {
    return names.every((name) => this.#entries.get(name)?.outcome === 'passed');
  }

  /**
   * All checks of the scope, and the names of those that reject: the failed checks or, if none failed, the required ones
   * that were not made.
   */
  finish(): Pick<Verdict, 'checks' | 'failures' | 'missing'> {
    const failedElsewhere = [...this.#entries].some(
      ([name, { outcome }]) => outcome === 'failed' && !this.#scope.includes(name),
    );
    const scope = failedElsewhere
      ? CHECK_NAMES.filter(
          (name) => this.#scope.includes(name) || this.#entries.get(name)?.outcome === 'failed',
        )
      : this.#scope;
    const checks = scope.map(
      (name): Check => ({ name, step: CHECKS[name].step, ...(this.#entries.get(name) ?? NOT_REACHED) }),
    );
    const failed = checks.filter((check) => check.outcome === 'failed').map(({ name }) => name);
    const missing = checks
      .filter(
        ({ name, outcome }) =>
          outcome === 'not-checked' && (CHECKS[name].required || this.#required.has(name)),
      )
      .map(({ name }) => name);
    return { checks, failures: failed.length > 0 ? failed : missing, missing };
  }
}
