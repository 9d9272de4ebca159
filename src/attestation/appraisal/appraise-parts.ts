import { bytesToHex } from '@noble/hashes/utils.js';
import { appraiseDice } from '../dice/appraise.ts';
import { type Claims, qualifyingData } from '../evidence/claims.ts';
import type { DiceEvidence, EvidenceBundle, VtpmEvidence } from '../evidence/evidence.ts';
import { appraiseQuote } from '../tpm/appraise.ts';
import { checkEndorsement } from '../tpm/endorsement-check.ts';
import { checkAttestationKey } from '../tpm/key-check.ts';
import { type AttestationKey, parsePublicArea } from '../tpm/public-area.ts';
import type { PcrBanks } from '../tpm/quote-input.ts';
import type { BuildInput } from './appraisal.ts';
import { boundNonce } from './appraise-binding.ts';
import type { CheckName } from './checks.ts';
import type { AppraisalContext } from './context.ts';
import type { CheckList, VtpmOwner } from './verdict.ts';

/** Appraises the parts of a bundle other than the report, and that all parts come from the same boot of an enclave. */

interface KeyFinding {
  /** Null when the key could not be read. */
  readonly key: AttestationKey | null;
  readonly owner: VtpmOwner;
}

/**
 * Records `vtpm.key` and `vtpm.key-binding`: the claims name the key and, if the policy names roots, a certificate
 * endorses it.
 */
function checkKey(
  vtpm: VtpmEvidence,
  claims: Claims | null,
  context: AppraisalContext,
  checks: CheckList,
): KeyFinding {
  const area = claims?.tpmAk;
  if (area === undefined) {
    checks.record('vtpm.key-binding', false, 'an attestation key in the claims', 'none');
    return { key: null, owner: 'host' };
  }
  const key = checkAttestationKey(() => parsePublicArea(area), checks);
  if (key === null) return { key, owner: 'host' };
  const { certificates = [] } = vtpm;
  if (context.policy.vtpm.trustedRoots.length === 0) {
    const unused = `; its certificates (${certificates.length}) are not checked, since the policy names no root (vtpm.trustedRoots)`;
    const found = `the key verifies the quote${certificates.length > 0 ? unused : ''}`;
    checks.record('vtpm.key-binding', true, 'the key in the claims', found);
    return { key, owner: 'host' };
  }
  return { key, owner: checkEndorsement(key, certificates, context, checks) ? 'provider' : 'host' };
}

function pcrBanks({ bank, pcrs }: VtpmEvidence): PcrBanks {
  return new Map([[bank, new Map(Object.entries(pcrs).map(([pcr, value]) => [Number(pcr), value]))]]);
}

function appraiseVtpm(
  input: BuildInput,
  bundle: EvidenceBundle,
  vtpm: VtpmEvidence,
  claims: Claims | null,
  context: AppraisalContext,
  checks: CheckList,
): VtpmOwner {
  checks.record('vtpm.quote', true, 'a quote', 'present');
  const { key, owner } = checkKey(vtpm, claims, context, checks);
  const nonce = boundNonce(input, bundle);
  const { crypto, policy } = context;
  appraiseQuote(
    {
      attest: vtpm.attest,
      signature: vtpm.signature,
      key,
      qualifyingData: nonce === undefined ? undefined : qualifyingData(nonce, bundle.claims, crypto),
      pcrs: pcrBanks(vtpm),
      eventLog: vtpm.eventLog,
      policy: policy.vtpm,
      reference: input.reference.vtpm,
      crypto,
    },
    checks,
  );
  return owner;
}

function appraiseChain(
  input: BuildInput,
  dice: DiceEvidence,
  claims: Claims | null,
  context: AppraisalContext,
  checks: CheckList,
): void {
  checks.record('dice.chain', true, 'a chain', `${dice.chain.length} certificates`);
  const { policy, at, crypto } = context;
  const leaf = appraiseDice(
    {
      format: dice.format,
      chain: dice.chain,
      rootKey: dice.rootKey,
      namedRoot: claims?.diceRoot,
      policy: policy.dice,
      reference: input.reference.dice?.layers,
      at,
      crypto,
    },
    checks,
  );
  if (leaf === null || claims === null) return;
  const named = claims.diceLeaf;
  if (named === undefined) checks.record('dice.leaf', false, 'a leaf in the claims', 'none');
  else checks.equalBytes('dice.leaf', named, leaf);
}

/** Records `binding.parts`: every part is bound to the claims, and thereby to one boot id. */
function checkParts(bundle: EvidenceBundle, claims: Claims | null, checks: CheckList): void {
  const ties: CheckName[] = ['binding.report-data'];
  if (bundle.vtpm !== undefined) ties.push('vtpm.key-binding', 'vtpm.signature', 'vtpm.qualifying-data');
  if (bundle.dice !== undefined) ties.push('dice.signatures', 'dice.leaf');
  const loose = ties.filter((name) => !checks.passed(name));
  const boot = claims === null ? 'unknown' : bytesToHex(claims.bootId);
  const expected = `all parts from boot ${boot}`;
  const [first] = loose;
  // The check of an unbound part has already failed or was not made; this entry states the consequence.
  if (first === undefined) checks.record('binding.parts', true, expected, `${ties.length} parts bound`);
  else checks.notChecked('binding.parts', `not bound to boot ${boot}: ${loose.join(', ')}`);
}

/** Records every `vtpm.*` and `dice.*` check, and `binding.parts`. Returns whose vTPM quoted, if one did. */
export function appraiseParts(
  input: BuildInput,
  bundle: EvidenceBundle,
  claims: Claims | null,
  context: AppraisalContext,
  checks: CheckList,
): VtpmOwner | undefined {
  const { vtpm, dice } = bundle;
  const { policy } = context;
  const absent = (name: 'vtpm.quote' | 'dice.chain', required: boolean, what: string): void => {
    if (required) checks.record(name, false, what, 'none');
    else checks.notChecked(name, `the evidence has no ${what}`);
  };
  let owner: VtpmOwner | undefined;
  if (vtpm === undefined) absent('vtpm.quote', policy.vtpm.required, 'vTPM quote');
  else owner = appraiseVtpm(input, bundle, vtpm, claims, context, checks);
  if (dice === undefined) absent('dice.chain', policy.dice.required, 'DICE chain');
  else appraiseChain(input, dice, claims, context, checks);
  checkParts(bundle, claims, checks);
  return owner;
}
