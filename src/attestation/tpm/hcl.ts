import { bytesToHex } from '@noble/hashes/utils.js';
import { z } from 'zod';
import type { AttestationCrypto } from '../../crypto/crypto-port.ts';
import { CocosError } from '../../errors.ts';
import { BinaryReader } from '../encoding/binary-reader.ts';
import { SNP_REPORT_BYTES } from '../snp/abi.ts';
import { base64UrlBytes } from '../x509/pem.ts';
import type { PublicKey } from '../x509/public-key.ts';

/**
 * The report of a paravisor (Azure confidential VMs): a hardware report whose REPORT_DATA holds the SHA-256 of runtime
 * claims, which name the attestation key of the vTPM.
 */

const SIGNATURE = 'HCLA';
const HEADER_BYTES = 32;
const REPORT_TYPE_SNP = 2;
const HASH_TYPE_SHA256 = 1;
const AK_NAME = 'HCLAkPub';
const MAX_CLAIMS_BYTES = 64 * 1024;

const Claims = z.object({
  keys: z.array(z.object({ kid: z.string(), kty: z.literal('RSA'), e: z.string(), n: z.string() })).max(16),
});

export interface HclReport {
  /** SNP report, 1184 bytes. */
  readonly report: Uint8Array;
  /** The claims as they were hashed. */
  readonly claims: Uint8Array;
  /** The vTPM's attestation key. */
  readonly attestationKey: PublicKey;
}

/** @throws CocosError EVIDENCE_INVALID */
export function parseHclReport(bytes: Uint8Array): HclReport {
  const reader = new BinaryReader(bytes, 'HCL report', 'little');
  const header = reader.bytes(HEADER_BYTES, 'header');
  if (String.fromCharCode(...header.subarray(0, 4)) !== SIGNATURE) throw reader.error('no HCLA signature');
  const report = reader.bytes(SNP_REPORT_BYTES, 'report');
  reader.u32('data size');
  reader.u32('version');
  if (reader.u32('report type') !== REPORT_TYPE_SNP) throw reader.error('it is not from an SNP guest');
  if (reader.u32('hash type') !== HASH_TYPE_SHA256) throw reader.error('claims are not hashed with SHA-256');
  const size = reader.u32('claims size');
  if (size > MAX_CLAIMS_BYTES) throw reader.error('claims are too large');
  const claims = reader.bytes(size, 'claims');
  if (reader.rest().some((byte) => byte !== 0))
    throw reader.error('it is followed by data other than padding');
  return { report, claims, attestationKey: readKey(claims) };
}

function readKey(claims: Uint8Array): PublicKey {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(claims));
  } catch (cause) {
    throw new CocosError('EVIDENCE_INVALID', 'HCL report: the claims are not JSON', { cause });
  }
  const key = Claims.safeParse(json).data?.keys.find(({ kid }) => kid === AK_NAME);
  if (key === undefined) throw new CocosError('EVIDENCE_INVALID', `HCL report: no key ${AK_NAME}`);
  return { kind: 'rsa', modulus: base64UrlBytes(key.n), exponent: base64UrlBytes(key.e) };
}

/** Whether a report binds these claims: SHA-256 in the first half of REPORT_DATA, the rest zero. */
export function bindsClaims(reportData: Uint8Array, claims: Uint8Array, crypto: AttestationCrypto): boolean {
  const expected = new Uint8Array(64);
  expected.set(crypto.sha256(claims));
  return bytesToHex(expected) === bytesToHex(reportData);
}
