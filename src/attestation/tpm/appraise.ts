import { concatBytes } from '@noble/hashes/utils.js';
import type { HashName, SignatureHash } from '../../crypto/crypto-port.ts';
import { CocosError } from '../../errors.ts';
import { parseChecked } from '../appraisal/context.ts';
import type { CheckList } from '../appraisal/verdict.ts';
import { hashOf } from '../eventlog/algorithms.ts';
import { parseAttest, ST_ATTEST_QUOTE, TPM_GENERATED, type TpmAttest } from './attest.ts';
import { checkTpmLog } from './log-check.ts';
import { checkPcrValues } from './pcr-check.ts';
import type { AttestationKey } from './public-area.ts';
import type { PcrBanks, QuoteInput } from './quote-input.ts';
import { parseTpmSignature, verifyTpmSignature } from './signature.ts';

/** Appraisal of one TPM quote with its PCR values and its event log. */

const DEFAULT_HASH: Readonly<Record<string, SignatureHash>> = {
  'P-256': 'sha256',
  'P-384': 'sha384',
  rsa: 'sha256',
};
const hexNumber = (value: number): string => `0x${value.toString(16)}`;

/** Whether the statement is a TPM's own quote. */
function checkStatement(attest: TpmAttest, checks: CheckList): boolean {
  const magic = attest.magic === TPM_GENERATED;
  checks.record('vtpm.magic', magic, hexNumber(TPM_GENERATED), hexNumber(attest.magic));
  const type = attest.type === ST_ATTEST_QUOTE;
  checks.record('vtpm.type', type, `${hexNumber(ST_ATTEST_QUOTE)} (quote)`, hexNumber(attest.type));
  return magic && type;
}

/** Scheme, hash and signature. Returns the hash, which is that of the PCR digest as well. */
function checkSignature(input: QuoteInput, key: AttestationKey, checks: CheckList): SignatureHash | null {
  try {
    const signature = parseTpmSignature(input.signature, key);
    const { declared } = key;
    const byKey = key.key.kind === 'rsa' ? 'rsassa' : 'ecdsa';
    const scheme = signature.scheme ?? declared?.scheme ?? byKey;
    const named = signature.hashId === null ? (declared?.hash ?? DEFAULT_HASH[key.key.kind]) : signature.hash;
    const hash = named ?? null;
    const fits = (scheme === 'ecdsa') === (key.key.kind !== 'rsa');
    const asDeclared = declared === null || (declared.scheme === scheme && (declared.hash ?? hash) === hash);
    const expected =
      declared === null
        ? `a scheme of ${key.key.kind} with a strong hash`
        : `${declared.scheme} ${declared.hash ?? ''}`;
    const found = `${scheme} ${hash ?? `hash ${hexNumber(signature.hashId ?? 0)}`}`;
    if (!checks.record('vtpm.scheme', hash !== null && fits && asDeclared, expected, found) || hash === null)
      return null;
    const right = verifyTpmSignature(scheme, hash, key, input.attest, signature.value, input.crypto);
    checks.record(
      'vtpm.signature',
      right,
      `signed by the key (${found})`,
      right ? 'signed' : 'invalid signature',
    );
    return hash;
  } catch (thrown) {
    checks.record('vtpm.signature', false, 'a signature of the key', CocosError.from(thrown).message);
    return null;
  }
}

/** PCRs that the policy or the reference values need. */
function neededPcrs({ policy, reference }: QuoteInput): number[] {
  const listed = Object.values(policy.pcrs).flatMap((values) => Object.keys(values ?? {}));
  const all = [...policy.requiredPcrs, ...[...listed, ...Object.keys(reference?.pcrs ?? {})].map(Number)];
  return [...new Set(all)].toSorted((a, b) => a - b);
}

type Quote = NonNullable<TpmAttest['quote']>;

/** Records `vtpm.bank` and `vtpm.selection`; returns the strong banks with their quoted PCRs. */
function checkSelection(
  input: QuoteInput,
  quote: Quote,
  checks: CheckList,
): Map<HashName, readonly number[]> {
  const { banks } = input.policy;
  const strong = new Map<HashName, readonly number[]>();
  for (const { bank, pcrs } of quote.selections) {
    if (bank !== null && pcrs.length > 0 && banks.some((accepted) => accepted === bank))
      strong.set(bank, pcrs);
  }
  const shown = quote.selections.map(
    ({ algorithm, bank, pcrs }) => `${bank ?? hexNumber(algorithm)}: ${pcrs.join(' ')}`,
  );
  const found = shown.join('; ') || 'nothing';
  checks.record('vtpm.bank', strong.size > 0, banks.join(' or '), found);
  const needed = neededPcrs(input);
  const missing = needed.filter((pcr) => ![...strong.values()].some((pcrs) => pcrs.includes(pcr)));
  const expected = needed.length === 0 ? 'any' : needed.join(' ');
  const lacking = missing.length === 0 ? found : `${found}; PCR ${missing.join(', ')} is not quoted`;
  checks.record('vtpm.selection', missing.length === 0, expected, lacking);
  return strong;
}

/** Records `vtpm.pcr-digest`: the values have the digest in the quote, in the order of the selection. */
function checkPcrDigest(
  input: QuoteInput,
  quote: Quote,
  values: PcrBanks | null,
  hash: SignatureHash,
  checks: CheckList,
): boolean {
  if (values === null) {
    const note = 'no PCR values and no event log were given';
    if (neededPcrs(input).length > 0) checks.missing('vtpm.pcr-digest', note);
    else checks.notChecked('vtpm.pcr-digest', note);
    return false;
  }
  const selected = quote.selections.flatMap(({ bank, pcrs }) =>
    pcrs.map((pcr) => (bank === null ? undefined : values.get(bank)?.get(pcr))),
  );
  const given = selected.filter((value) => value !== undefined);
  if (given.length < selected.length) {
    const expected = `${selected.length} values`;
    return checks.record('vtpm.pcr-digest', false, expected, `${given.length} of them given`);
  }
  return checks.equalBytes(
    'vtpm.pcr-digest',
    quote.pcrDigest,
    hashOf(hash, concatBytes(...given), input.crypto),
  );
}

/**
 * Records the checks of `SCOPES.tpm` except `vtpm.key` and `vtpm.key-binding`, which are the caller's: only it knows
 * where the key comes from.
 */
export function appraiseQuote(input: QuoteInput, checks: CheckList): void {
  const attest = parseChecked(checks, 'vtpm.parse', 'a TPMS_ATTEST', () => parseAttest(input.attest));
  if (attest === null) return;
  const statement = checkStatement(attest, checks);
  const hash = input.key === null ? null : checkSignature(input, input.key, checks);
  if (!statement || attest.quote === null) return;
  if (input.qualifyingData === undefined) {
    checks.missing('vtpm.qualifying-data', 'no nonce was given');
  } else {
    checks.equalBytes('vtpm.qualifying-data', input.qualifyingData, attest.extraData);
  }
  if (input.policy.requireSafeClock) {
    checks.record('vtpm.safe', attest.safe, 'safe', attest.safe ? 'safe' : 'not safe');
  } else {
    checks.notChecked(
      'vtpm.safe',
      `the policy does not require it; the clock is ${attest.safe ? '' : 'not '}safe`,
    );
  }
  const strong = checkSelection(input, attest.quote, checks);
  const replayed = checkTpmLog(input, strong, checks);
  if (hash === null) return;
  const values = input.pcrs ?? replayed;
  if (!checkPcrDigest(input, attest.quote, values, hash, checks) || values === null) return;
  checkPcrValues(input, strong, values, checks);
}
