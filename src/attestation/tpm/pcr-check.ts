import { bytesToHex } from '@noble/hashes/utils.js';
import type { HashName } from '../crypto-port.ts';
import type { CheckList } from '../verdict.ts';
import type { PcrBanks, QuoteInput } from './appraise.ts';

/**
 * Records `vtpm.pcrs`: each quoted PCR for which the policy or the reference values have a value has it. Values are
 * those that the quote digests.
 */
export function checkPcrValues(
  input: QuoteInput,
  selected: ReadonlyMap<HashName, readonly number[]>,
  values: PcrBanks,
  checks: CheckList,
): void {
  const { policy, reference } = input;
  const rules: { readonly bank: HashName; readonly pcr: number; readonly accepted: readonly string[] }[] = [];
  for (const bank of ['sha256', 'sha384', 'sha512'] as const) {
    for (const [pcr, value] of Object.entries(policy.pcrs[bank] ?? {})) {
      if (value !== undefined) rules.push({ bank, pcr: Number(pcr), accepted: [value] });
    }
  }
  for (const [pcr, accepted] of Object.entries(reference?.pcrs ?? {})) {
    if (reference !== undefined) rules.push({ bank: reference.bank, pcr: Number(pcr), accepted });
  }
  if (rules.length === 0) {
    checks.notChecked('vtpm.pcrs', 'neither the policy nor the reference values have PCR values');
    return;
  }
  const wrong = rules.filter(({ bank, pcr, accepted }) => {
    const quoted = selected.get(bank)?.includes(pcr) === true;
    return !quoted || !accepted.includes(bytesToHex(values.get(bank)?.get(pcr) ?? new Uint8Array()));
  });
  const [first] = wrong;
  if (first === undefined) {
    checks.record('vtpm.pcrs', true, `${rules.length} reference values`, 'the same');
    return;
  }
  const { bank, pcr, accepted } = first;
  const value = values.get(bank)?.get(pcr);
  const found = value === undefined ? 'not quoted' : bytesToHex(value);
  const others = wrong.length > 1 ? `${wrong.length} PCRs differ` : undefined;
  checks.record('vtpm.pcrs', false, `${bank} PCR ${pcr} ${accepted.join(' or ')}`, found, others);
}
