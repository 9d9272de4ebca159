import { bytesToHex } from '@noble/hashes/utils.js';
import {
  type AppraisalContext,
  checkPlatform,
  parseChecked,
  parseEndorsements,
  recordThrown,
} from '../appraisal/context.ts';
import type { CheckList } from '../appraisal/verdict.ts';
import { checkEventData } from '../eventlog/data.ts';
import { parseEventLog } from '../eventlog/parse.ts';
import { replayRtmrs } from '../eventlog/replay.ts';
import { checkTdxPolicy } from './policy.ts';
import { parseTdxQuote, readQuoteChain, type TdxQuote } from './quote.ts';
import { type VerifiedQuote, verifyQuote } from './verify.ts';

/** Appraisal of one TDX quote: parse, verify, policy, event log. The binding is appraised elsewhere. */

export interface TdxAppraisal {
  /** Null when the bytes are no quote. */
  readonly quote: TdxQuote | null;
  /** Null when the chain is not proven. */
  readonly verified: VerifiedQuote | null;
}

/** Replays a CCEL and compares it with the registers of the quote. */
function checkEventLog(
  bytes: Uint8Array | undefined,
  quote: TdxQuote,
  context: AppraisalContext,
  checks: CheckList,
): void {
  if (bytes === undefined) {
    checks.notChecked('tdx.event-log', 'no event log was given');
    return;
  }
  try {
    const log = parseEventLog(bytes, 'rtmr');
    const replayed = replayRtmrs(log, context.crypto).map(bytesToHex);
    const quoted = quote.body.rtmrs.map(bytesToHex);
    const wrong = quoted.flatMap((value, index) => (value === replayed[index] ? [] : [index]));
    const expected = wrong.map((index) => `RTMR ${index} ${quoted[index]}`).join('; ');
    const found = wrong.map((index) => `RTMR ${index} ${replayed[index]}`).join('; ');
    if (wrong.length > 0) {
      checks.record('tdx.event-log', false, expected, found);
      return;
    }
    const data = checkEventData(log, 'sha384', context.policy.tdx.acceptedEventQuirks, context.crypto);
    const wanted = 'the quoted RTMRs, and data that matches its digests';
    checks.record('tdx.event-log', data.ok, wanted, `${log.events.length} events; data ${data.found}`);
  } catch (thrown) {
    recordThrown(checks, 'tdx.event-log', 'an event log of a TDX guest', thrown);
  }
}

/**
 * Records the checks of `SCOPES.tdx`.
 *
 * @param ders certificates beside those in the quote.
 * @param eventLog CCEL, where the evidence has one.
 */
export function appraiseTdx(
  bytes: Uint8Array,
  ders: readonly Uint8Array[],
  eventLog: Uint8Array | undefined,
  context: AppraisalContext,
  checks: CheckList,
): TdxAppraisal {
  const { policy, collateral, at, crypto, cache } = context;
  const parsed = parseChecked(checks, 'report.parse', 'a TDX quote', () => {
    const quote = parseTdxQuote(bytes);
    return { quote, chain: cache.item(quote.chain, readQuoteChain) };
  });
  if (parsed === null) return { quote: null, verified: null };
  const { quote, chain } = parsed;
  const { own, certificates, revocationLists } = parseEndorsements([...chain, ...ders], context, checks);
  const { trustedRoots, requireRevocationLists } = policy.tdx;
  const verified = verifyQuote(
    quote,
    { quote: chain, own: own.slice(0, chain.length), all: certificates },
    collateral,
    { revocationLists, requireRevocationLists, trustedRoots, at, crypto, cache },
    checks,
  );
  if (verified === null) return { quote, verified };
  checkPlatform('tdx', context, checks);
  checkTdxPolicy(quote, verified, policy, at, checks);
  checkEventLog(eventLog, quote, context, checks);
  return { quote, verified };
}
