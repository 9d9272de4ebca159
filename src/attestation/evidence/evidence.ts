import { bytesToHex } from '@noble/hashes/utils.js';
import { z } from 'zod';
import type { AttestationHashes } from '../../crypto/crypto-port.ts';
import { CocosError } from '../../errors.ts';
import { bytesOf, bytesUpTo } from '../encoding/byte-schemas.ts';
import { decodeDeterministic, encodeDeterministic } from '../encoding/cbor.ts';
import { SNP_REPORT_BYTES } from '../snp/abi.ts';
import { MAX_QUOTE_BYTES } from '../tdx/quote.ts';
import { MAX_CLAIMS_BYTES, NONCE_BYTES } from './claims.ts';
import { LaunchLog } from './launch-log.ts';

/**
 * The evidence bundle: everything that an enclave and its host hand to a verifier in one deterministic CBOR map. A
 * new technology adds a report kind or a member here, a folder beside `snp/` and its checks.
 */

/** Largest bundle that is read: a report, its certificates, a log and the claims are far below it. */
export const MAX_EVIDENCE_BYTES = 1024 * 1024;
const MAX_CERTIFICATES = 8;
const MAX_BUNDLED_LOG_BYTES = 512 * 1024;
const MAX_DICE_LAYERS = 16;
const MAX_CERTIFICATE_BYTES = 16 * 1024;

/** An SNP report, from hardware or from the emulated security processor: as its chain shows. */
const SnpEvidence = z.strictObject({
  kind: z.literal('snp'),
  report: bytesOf(SNP_REPORT_BYTES),
  /** DER, in any order; missing ones may come from the verifier's collateral. */
  certificates: z.array(bytesUpTo(MAX_CERTIFICATE_BYTES)).max(MAX_CERTIFICATES),
});

/** A TDX quote with its certificates inside. */
const TdxEvidence = z.strictObject({
  kind: z.literal('tdx'),
  quote: bytesUpTo(MAX_QUOTE_BYTES),
  /** The guest's event log (CCEL). */
  eventLog: bytesUpTo(MAX_BUNDLED_LOG_BYTES).optional(),
});

const PcrIndex = z.string().regex(/^(?:\d|1\d|2[0-3])$/);

/** A quote of the vTPM with the PCR values that it digests and the log that explains them. */
const VtpmEvidence = z.strictObject({
  /** TPMS_ATTEST. */
  attest: bytesUpTo(2048),
  /** TPMT_SIGNATURE. */
  signature: bytesUpTo(2048),
  bank: z.enum(['sha256', 'sha384', 'sha512']),
  /** Value of each quoted PCR, by index. */
  pcrs: z.record(PcrIndex, bytesUpTo(64)),
  eventLog: bytesUpTo(MAX_BUNDLED_LOG_BYTES).optional(),
  /** Certificate of the attestation key and its authorities, DER. */
  certificates: z.array(bytesUpTo(MAX_CERTIFICATE_BYTES)).max(MAX_CERTIFICATES).optional(),
});
export type VtpmEvidence = z.infer<typeof VtpmEvidence>;

/** A chain of the Open Profile for DICE, first layer first. */
const DiceEvidence = z.strictObject({
  format: z.enum(['cbor', 'x509']),
  /** Key that signs the first layer: raw Ed25519 key, or uncompressed EC point. */
  rootKey: bytesUpTo(97).optional(),
  chain: z.array(bytesUpTo(MAX_CERTIFICATE_BYTES)).min(1).max(MAX_DICE_LAYERS),
});
export type DiceEvidence = z.infer<typeof DiceEvidence>;

export const EvidenceBundle = z.strictObject({
  version: z.literal(1),
  /** The claims as they were hashed: they are never encoded again. */
  claims: bytesUpTo(MAX_CLAIMS_BYTES),
  /** The nonce that the prover received. The report must bind it, but it does not prove that the evidence is fresh. */
  nonce: bytesOf(NONCE_BYTES).optional(),
  report: z.discriminatedUnion('kind', [SnpEvidence, TdxEvidence]),
  launchLog: LaunchLog.optional(),
  vtpm: VtpmEvidence.optional(),
  dice: DiceEvidence.optional(),
});
export type EvidenceBundle = z.infer<typeof EvidenceBundle>;

/** @throws CocosError INPUT_INVALID, LIMIT_EXCEEDED */
export function encodeEvidence(bundle: EvidenceBundle): Uint8Array {
  const checked = EvidenceBundle.safeParse(bundle);
  if (!checked.success)
    throw new CocosError('INPUT_INVALID', 'the evidence is invalid', { cause: checked.error });
  const bytes = encodeDeterministic(checked.data);
  if (bytes.length > MAX_EVIDENCE_BYTES) {
    throw new CocosError(
      'LIMIT_EXCEEDED',
      `the evidence has ${bytes.length} bytes, more than the limit of ${MAX_EVIDENCE_BYTES}`,
    );
  }
  return bytes;
}

/** @throws CocosError EVIDENCE_INVALID */
export function decodeEvidence(bytes: Uint8Array): EvidenceBundle {
  return decodeDeterministic(bytes, EvidenceBundle, MAX_EVIDENCE_BYTES, 'evidence');
}

/** Name of a bundle in sessions and receipts: `sha256:` and the hex digest of its bytes. */
export function evidenceDigest(bytes: Uint8Array, hashes: AttestationHashes): string {
  return `sha256:${bytesToHex(hashes.sha256(bytes))}`;
}
