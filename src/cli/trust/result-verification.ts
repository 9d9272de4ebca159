import { appraise } from '../../attestation/appraisal/appraise.ts';
import type { Verdict } from '../../attestation/appraisal/verdict.ts';
import { mergeCollateral } from '../../attestation/collateral/collateral-files.ts';
import { decodeEvidence } from '../../attestation/evidence/evidence.ts';
import { CLOCK_SKEW_MS } from '../../attestation/policy/signed-policy.ts';
import { attestationCrypto } from '../../crypto/attestation-crypto.ts';
import type { ByteReader } from '../../crypto/byte-reader.ts';
import { canonicalDigest, sha256Text } from '../../crypto/digest.ts';
import { encodeSigningKey, type ParticipantKeys } from '../../crypto/keys.ts';
import { CocosError } from '../../errors.ts';
import type { Manifest } from '../../machines/manifest.ts';
import type { Receipt } from '../../protocol/receipt.ts';
import type { ResultAudit } from '../../protocol/result-audit.ts';
import { type ResultHeader, readSealedBody, verifyResultHeader } from '../../protocol/result-file.ts';
import { ContentCheck } from './result-content.ts';
import { pinnedPolicy, type TrustInputs } from './trust.ts';

/** What an auditor brings to the verification of a result file. Without all of it the result stays unverified. */
export interface ResultTrust {
  readonly manifest: Manifest | undefined;
  readonly trust: TrustInputs | undefined;
  /** Evidence from elsewhere, for files of version 1, which contain none. */
  readonly evidence: Uint8Array | undefined;
  /** The nonce that `evidence` answers. */
  readonly nonce: Uint8Array | undefined;
  /** Time of appraisal; by default the one in the file, or `now`. */
  readonly at: number | undefined;
  readonly now: number;
  /** Opens the content too. */
  readonly keys: ParticipantKeys | undefined;
}

export type ResultCheckName =
  | 'receipt'
  | 'body'
  | 'manifest'
  | 'recipient'
  | 'policy'
  | 'reference'
  | 'evidence'
  | 'agent-key'
  | 'platform'
  | 'content';

export interface ResultCheck {
  readonly name: ResultCheckName;
  /** `missing`: something that the check needs was not given, so that the result cannot be verified. */
  readonly outcome: 'passed' | 'failed' | 'missing' | 'not-checked';
  readonly detail: string;
}

export interface ResultVerification {
  readonly outcome: 'verified' | 'unverified' | 'rejected';
  readonly checks: readonly ResultCheck[];
  readonly receipt: Receipt | null;
  readonly verdict: Verdict | null;
}

/**
 * Judges a result file offline. Nothing in the file is trusted: its receipt must be signed by a key in claims that the
 * evidence binds to an enclave which the auditor's policy and reference values accept, for the auditor's manifest.
 *
 * @param reader after the header
 */
export async function verifyResult(
  header: ResultHeader,
  reader: ByteReader,
  given: ResultTrust,
): Promise<ResultVerification> {
  const checks: ResultCheck[] = [];
  const record = (name: ResultCheckName, outcome: ResultCheck['outcome'], detail: string) => {
    checks.push({ name, outcome, detail });
  };
  const receipt = checkReceipt(header, record);
  const audit = await checkBody(header, receipt, reader, given.keys, record);
  checkManifest(header, receipt, given.manifest, record);
  checkSources(audit, given.trust, record);
  const verdict = checkEvidence(header, receipt, audit, given, record);
  const has = (outcome: ResultCheck['outcome']) => checks.some((check) => check.outcome === outcome);
  const outcome = has('failed') ? 'rejected' : has('missing') ? 'unverified' : 'verified';
  return { outcome, checks, receipt, verdict };
}

type RecordCheck = (name: ResultCheckName, outcome: ResultCheck['outcome'], detail: string) => void;

function checkReceipt(header: ResultHeader, record: RecordCheck): Receipt | null {
  try {
    const receipt = verifyResultHeader(header);
    record('receipt', 'passed', `signed by ${header.agentSigningKey}`);
    return receipt;
  } catch (thrown) {
    record('receipt', 'failed', CocosError.from(thrown).message);
    return null;
  }
}

/** Reads the rest of the file. Returns its audit record; null if it has none or it cannot be read. */
async function checkBody(
  header: ResultHeader,
  receipt: Receipt | null,
  reader: ByteReader,
  keys: ParticipantKeys | undefined,
  record: RecordCheck,
): Promise<ResultAudit | null> {
  let content: ContentCheck | null = null;
  try {
    content = keys === undefined ? null : new ContentCheck(header, keys);
    const opened = content;
    const { sealedDigest, audit } = await readSealedBody(header, reader, (segment) => {
      opened?.visit(segment.bytes, segment.last);
    });
    if (receipt?.sealedDigest !== undefined) {
      const same = sealedDigest === receipt.sealedDigest;
      const detail = same
        ? `${sealedDigest}, as in the receipt`
        : 'the sealed result was altered or replaced';
      record('body', same ? 'passed' : 'failed', detail);
    } else if (keys === undefined) {
      record('body', 'missing', 'the receipt does not state the digest of the sealed bytes; give --key');
    }
    if (receipt !== null && content !== null) {
      const failure = content.finish(receipt);
      const detail = failure ?? `opens with your key; ${receipt.resultDigest}, as in the receipt`;
      record('content', failure === null ? 'passed' : 'failed', detail);
    }
    return audit;
  } catch (thrown) {
    record('body', 'failed', CocosError.from(thrown).message);
    return null;
  } finally {
    content?.erase();
  }
}

function checkManifest(
  header: ResultHeader,
  receipt: Receipt | null,
  manifest: Manifest | undefined,
  record: RecordCheck,
): void {
  if (manifest === undefined) {
    record('manifest', 'missing', 'name the manifest that you agreed to with --manifest');
    return;
  }
  const digest = canonicalDigest(manifest);
  if (header.manifestDigest !== digest) {
    record(
      'manifest',
      'failed',
      `the result is of the manifest ${header.manifestDigest}, yours is ${digest}`,
    );
    return;
  }
  const inputs = manifest.datasets.map(({ name, digest: each }) => ({ name, digest: each }));
  const isSame =
    receipt !== null &&
    receipt.computationId === manifest.id &&
    receipt.algorithmDigest === manifest.algorithm.digest &&
    canonicalDigest(receipt.datasets) === canonicalDigest(inputs);
  const detail = isSame ? digest : 'the receipt names another computation, algorithm or dataset';
  record('manifest', isSame ? 'passed' : 'failed', detail);
  if (header.recipient === undefined) return;
  const consumer = manifest.consumers.find(({ signing }) => signing === header.recipient);
  record(
    'recipient',
    consumer === undefined ? 'failed' : 'passed',
    consumer === undefined
      ? `the manifest does not name ${header.recipient} as a consumer`
      : `${header.recipient}, a consumer in the manifest`,
  );
}

/** Whether the consumer judged the enclave by the auditor's policy and reference values. */
function checkSources(audit: ResultAudit | null, trust: TrustInputs | undefined, record: RecordCheck): void {
  if (trust === undefined) {
    record('policy', 'missing', 'name your appraisal policy with --policy');
    record('reference', 'missing', 'name your reference values with --reference');
    return;
  }
  const compare = (name: 'policy' | 'reference', stated: string | undefined, yours: string) => {
    if (stated === undefined)
      record(name, 'not-checked', 'the file does not say; the evidence is judged by yours');
    else if (stated === yours) record(name, 'passed', stated);
    else record(name, 'failed', `the consumer judged the enclave by ${stated}, yours is ${yours}`);
  };
  compare('policy', audit?.policy.digest, trust.policyDigest);
  compare('reference', audit?.reference.digest, sha256Text(trust.sources.reference));
}

function checkEvidence(
  header: ResultHeader,
  receipt: Receipt | null,
  audit: ResultAudit | null,
  given: ResultTrust,
  record: RecordCheck,
): Verdict | null {
  const evidence = given.evidence ?? audit?.evidence;
  if (evidence === undefined) {
    record('evidence', 'missing', 'the file contains none; name it with --evidence');
    return null;
  }
  if (given.trust === undefined || given.manifest === undefined) {
    record('evidence', 'missing', 'appraised only with --manifest, --policy and --reference');
    return null;
  }
  const { trust, manifest } = given;
  const at = given.at ?? (given.evidence === undefined ? audit?.appraisedAt : undefined) ?? given.now;
  checkTimes(at, given, trust, record);
  // The challenge in the record belongs to its own evidence.
  const challenge = given.evidence === undefined ? audit : null;
  const verdict = appraise({
    evidence,
    nonce: challenge?.nonce ?? given.nonce,
    nonceIssuedAt: challenge?.nonceIssuedAt,
    at,
    policy: trust.policy,
    reference: trust.reference,
    collateral: audit === null ? trust.collateral : mergeCollateral([trust.collateral, audit.collateral]),
    expectedManifestDigest: canonicalDigest(manifest),
    policyDigest: pinnedPolicy(manifest, trust),
    crypto: attestationCrypto,
  });
  const when = new Date(verdict.at).toISOString();
  if (verdict.outcome === 'accepted') record('evidence', 'passed', `accepted as of ${when}`);
  else record('evidence', 'failed', `rejected as of ${when} for: ${verdict.failures.join(', ')}`);
  checkAgent(header, receipt, verdict, evidence, record);
  return verdict;
}

/** The time in a file is the word of whoever wrote it, and can only be a time that has been. */
function checkTimes(
  at: number,
  { now, at: own }: ResultTrust,
  { policyExpires }: TrustInputs,
  record: RecordCheck,
): void {
  const text = (ms: number) => new Date(ms).toISOString();
  if (own === undefined && at > now + CLOCK_SKEW_MS)
    record('evidence', 'failed', `appraised as of ${text(at)}, which is in the future`);
  if (policyExpires !== null && at >= policyExpires)
    record('policy', 'failed', `expired at ${text(policyExpires)}, before the appraisal as of ${text(at)}`);
}

function checkAgent(
  header: ResultHeader,
  receipt: Receipt | null,
  verdict: Verdict,
  evidence: Uint8Array,
  record: RecordCheck,
): void {
  const { claims } = verdict;
  const isAgents =
    claims !== undefined &&
    encodeSigningKey(claims.signingKey) === header.agentSigningKey &&
    sha256Text(decodeEvidence(evidence).claims) === receipt?.evidenceDigest;
  record(
    'agent-key',
    isAgents ? 'passed' : 'failed',
    isAgents
      ? 'the evidence attests the key that signed the receipt'
      : 'the receipt was signed by another key than that of the attested agent: the result is of another enclave or forged',
  );
  const isPlatform = receipt?.platform === verdict.platform;
  record(
    'platform',
    isPlatform ? 'passed' : 'failed',
    isPlatform
      ? verdict.emulated
        ? 'EMULATED, not hardware: the host could read the memory of the enclave'
        : verdict.platform
      : `the receipt names ${receipt?.platform ?? 'none'}, the evidence proves ${verdict.platform}`,
  );
}
