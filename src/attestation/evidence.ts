import { bytesToHex } from '@noble/hashes/utils.js';
import { z } from 'zod';
import { CocosError } from '../errors.ts';
import { bytesOf, bytesUpTo } from './byte-schemas.ts';
import { decodeDeterministic, encodeDeterministic } from './cbor.ts';
import { MAX_CLAIMS_BYTES } from './claims.ts';
import type { AttestationHashes } from './crypto-port.ts';
import { LaunchLog } from './launch-log.ts';
import { SNP_REPORT_BYTES } from './snp/abi.ts';

/**
 * The evidence bundle: everything that an enclave and its host hand to a verifier in one deterministic CBOR map. A
 * new technology adds a report kind or a member here, a folder beside `snp/` and its checks.
 */

/** Largest bundle that is read: a report, its certificates, a log and the claims are far below it. */
export const MAX_EVIDENCE_BYTES = 1024 * 1024;
const MAX_CERTIFICATES = 8;
const MAX_CERTIFICATE_BYTES = 16 * 1024;

/** An SNP report, from hardware or from the emulated security processor: the chain tells which. */
const SnpEvidence = z.strictObject({
  kind: z.literal('snp'),
  report: bytesOf(SNP_REPORT_BYTES),
  /** DER, in any order; missing ones may come from the verifier's collateral. */
  certificates: z.array(bytesUpTo(MAX_CERTIFICATE_BYTES)).max(MAX_CERTIFICATES),
});

export const EvidenceBundle = z.strictObject({
  version: z.literal(1),
  /** The claims as they were hashed: they are never encoded again. */
  claims: bytesUpTo(MAX_CLAIMS_BYTES),
  report: z.discriminatedUnion('kind', [SnpEvidence]),
  launchLog: LaunchLog.optional(),
});
export type EvidenceBundle = z.infer<typeof EvidenceBundle>;

/** @throws CocosError INPUT_INVALID, LIMIT_EXCEEDED */
export function encodeEvidence(bundle: EvidenceBundle): Uint8Array {
  const checked = EvidenceBundle.safeParse(bundle);
  if (!checked.success)
    throw new CocosError('INPUT_INVALID', 'evidence is not valid', { cause: checked.error });
  const bytes = encodeDeterministic(checked.data);
  if (bytes.length > MAX_EVIDENCE_BYTES) {
    throw new CocosError(
      'LIMIT_EXCEEDED',
      `evidence has ${bytes.length} bytes, at most ${MAX_EVIDENCE_BYTES}`,
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
