import { bytesToHex } from '@noble/hashes/utils.js';
import type { HashName } from '../../crypto/crypto-port.ts';
import type { CheckList } from '../appraisal/verdict.ts';
import type { PcrBanks, QuoteInput } from './quote-input.ts';

/** What each PCR measures: TCG PC Client Platform Firmware Profile 2.3.4, UAPI unified kernel image, and the agent. */
const MEASURED: Readonly<Record<number, string>> = {
  0: 'the firmware',
  1: 'the firmware settings and the ACPI tables of the host',
  2: 'device drivers',
  3: 'device driver settings',
  4: 'the kernel image',
  5: 'the boot settings and partitions that loaded it',
  7: 'the Secure Boot variables',
  9: 'the command line and the initrd',
  11: 'the sections of the unified kernel image',
  15: 'the agent and the manifest',
};

function isQuoted(selected: ReadonlyMap<HashName, readonly number[]>, pcr: number): boolean {
  return [...selected.values()].some((pcrs) => pcrs.includes(pcr));
}

/**
 * Records `vtpm.pcrs`: each quoted PCR for which the policy or the reference values have a value has it. Values are
 * those in the quoted digest.
 */
export function checkPcrValues(
  input: QuoteInput,
  selected: ReadonlyMap<HashName, readonly number[]>,
  values: PcrBanks,
  checks: CheckList,
): void {
  const { policy, reference } = input;
  const rules: { readonly bank: HashName; readonly pcr: number; readonly accepted: string }[] = [];
  for (const bank of ['sha256', 'sha384', 'sha512'] as const) {
    for (const [pcr, value] of Object.entries(policy.pcrs[bank] ?? {})) {
      if (value !== undefined) rules.push({ bank, pcr: Number(pcr), accepted: value });
    }
  }
  for (const [pcr, accepted] of Object.entries(reference?.pcrs ?? {})) {
    if (reference !== undefined) rules.push({ bank: reference.bank, pcr: Number(pcr), accepted });
  }
  if (rules.length === 0) {
    checks.notChecked('vtpm.pcrs', 'neither the policy nor the reference values contain PCR values');
    return;
  }
  const wrong = rules.filter(({ bank, pcr, accepted }) => {
    const quoted = selected.get(bank)?.includes(pcr) === true;
    return !quoted || accepted !== bytesToHex(values.get(bank)?.get(pcr) ?? new Uint8Array());
  });
  const [first] = wrong;
  if (first === undefined) {
    const unknown = Object.entries(MEASURED).filter(
      ([pcr]) => isQuoted(selected, Number(pcr)) && !rules.some((rule) => rule.pcr === Number(pcr)),
    );
    const list = unknown.map(([pcr, what]) => `PCR ${pcr} (${what})`).join(', ');
    const note =
      unknown.length === 0 ? undefined : `unknown, since nothing is given to compare with: ${list}`;
    checks.record('vtpm.pcrs', true, `${rules.length} reference values`, 'the same', note);
    return;
  }
  const { bank, pcr, accepted } = first;
  const value = values.get(bank)?.get(pcr);
  const found = value === undefined ? 'not quoted' : bytesToHex(value);
  const others = wrong.length > 1 ? `; ${wrong.length} PCRs differ` : '';
  const note = `PCR ${pcr} measures ${MEASURED[pcr] ?? 'data that the operating system chooses'}${others}`;
  checks.record('vtpm.pcrs', false, `${bank} PCR ${pcr} ${accepted}`, found, note);
}
