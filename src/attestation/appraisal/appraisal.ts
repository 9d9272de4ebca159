import type { AttestationCrypto } from '../../crypto/crypto-port.ts';
import type { Collateral } from '../collateral/collateral.ts';
import type { AppraisalPolicy } from '../policy/policy.ts';
import type { ReferenceValues } from '../policy/reference.ts';
import type { CertificateCache } from '../x509/certificate-cache.ts';

export interface AppraisalInput {
  /** The bundle as received: hostile until proven. */
  readonly evidence: Uint8Array;
  /**
   * 32 bytes that this verifier chose for this evidence. When left out, the nonce in the bundle says what the report
   * binds, and the verdict says that nobody knows how old the evidence is.
   */
  readonly nonce?: Uint8Array | undefined;
  readonly policy: AppraisalPolicy;
  readonly reference: ReferenceValues;
  /** Time of appraisal: milliseconds since 1970, or a Date. */
  readonly at: number | { getTime(): number };
  /** `sha256:` digest of the manifest that the relying party agreed to. */
  readonly expectedManifestDigest?: string | undefined;
  /** `sha256:` digests of the policy that the manifest pins and of the one that is used. */
  readonly policyDigest?: { readonly expected: string; readonly found: string } | undefined;
  /** When the nonce was made, milliseconds since 1970; needed when the policy limits the age. */
  readonly nonceIssuedAt?: number | undefined;
  /** What vendors publish, as far as the verifier has it; parts that are left out are empty. */
  readonly collateral?: Partial<Collateral> | undefined;
  readonly crypto: AttestationCrypto;
  /** Kept between appraisals, it saves the signatures of certificates that were seen before. */
  readonly cache?: CertificateCache | undefined;
}

/** What the platform's own statement says, whatever the platform. */
export interface PlatformReport {
  readonly platform: 'snp' | 'tdx' | 'emulated' | 'unknown';
  readonly namedEmulated: boolean;
  /** 64 bytes; null when the report cannot be parsed. */
  readonly reportData: Uint8Array | null;
  /** HOST_DATA or MRCONFIGID: what the host named at launch. */
  readonly hostData: Uint8Array | null;
}
