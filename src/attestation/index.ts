/**
 * The verifier as a library, `cocosai/attestation`: bytes, policy, collateral and time in, a verdict out. Nothing here
 * reads a file, a clock or a network, so it runs in a browser as well; cryptography is handed in.
 */

export type {
  AttestationCrypto,
  AttestationHashes,
  EcCurve,
  HashName,
  RsaPublicKey,
} from '../crypto/crypto-port.ts';
export type { AppraisalInput } from './appraisal/appraisal.ts';
export { appraise } from './appraisal/appraise.ts';
export { CHECKS, type CheckName } from './appraisal/checks.ts';
export { type EarOptions, earClaims, signEar, verifyEar } from './appraisal/ear.ts';
export { formatVerdict, verdictToJson } from './appraisal/format-verdict.ts';
export { type ParavisorTpmInput, verifyParavisorTpm } from './appraisal/paravisor.ts';
export {
  type DiceChainInput,
  type SnpInput,
  type TdxInput,
  type TpmInput,
  verifyDice,
  verifySnp,
  verifyTdx,
  verifyTpm,
} from './appraisal/standalone.ts';
export type { Check, CheckOutcome, Verdict } from './appraisal/verdict.ts';
export { type Collateral, NO_COLLATERAL, type SignedJson } from './collateral/collateral.ts';
export { classifyCollateral, mergeCollateral } from './collateral/collateral-files.ts';
export { type Corim, decodeCorim, encodeCorim } from './corim/comid.ts';
export { referenceFromCorim, referenceToCorim } from './corim/reference-corim.ts';
export { type DiceChainFile, splitDiceChain } from './dice/chain-file.ts';
export type { EventLog, LogEvent } from './eventlog/log.ts';
export { parseEventLog } from './eventlog/parse.ts';
export { replay, replayRtmrs } from './eventlog/replay.ts';
export { type Claims, decodeClaims, encodeClaims, qualifyingData, reportData } from './evidence/claims.ts';
export { decodeEvidence, type EvidenceBundle, encodeEvidence, evidenceDigest } from './evidence/evidence.ts';
export { type Inspected, inspectEvidence } from './evidence/inspect.ts';
export { measureSev, measureSevEs, measureSvsm } from './measure/other-modes.ts';
export { firmwareState, measureVm } from './measure/snp.ts';
export { policyJsonSchema, referenceJsonSchema } from './policy/json-schema.ts';
export { type AppraisalPolicy, parsePolicy } from './policy/policy.ts';
export { parseReferenceValues, type ReferenceValues } from './policy/reference.ts';
export { openPolicy, type PolicyEnvelope, signPolicy } from './policy/signed-policy.ts';
export { parseSnpReport, type SnpReport } from './snp/abi.ts';
export { parseCertificateTable } from './snp/certificate-table.ts';
export { parseTdxQuote, readQuoteChain, type TdxQuote } from './tdx/quote.ts';
export { parseAttest, type TpmAttest } from './tpm/attest.ts';
export { parsePcrFile } from './tpm/pcr-file.ts';
export { parsePcrValues } from './tpm/pcr-list.ts';
export { type AttestationKey, attestationKeyFromSpki, parsePublicArea } from './tpm/public-area.ts';
export { CertificateCache } from './x509/certificate-cache.ts';
export { certificateDers, pemBlocks } from './x509/pem.ts';
