import type { AttestationCrypto } from '../../crypto/crypto-port.ts';
import type { Collateral } from '../collateral/collateral.ts';
import type { AppraisalPolicy } from '../policy/policy.ts';
import type { ReferenceBuild, ReferenceValues } from '../policy/reference.ts';
import type { CertificateCache } from '../x509/certificate-cache.ts';

export interface AppraisalInput {
  /** The bundle as received: hostile until proven. */
  readonly evidence: Uint8Array;
  /**
   * 32 bytes that this verifier chose for this evidence. If absent, the nonce in the bundle determines what the report
   * binds, and the verdict states that the age of the evidence is unknown.
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
  /** Creation time of the nonce, milliseconds since 1970; required if the policy limits its age. */
  readonly nonceIssuedAt?: number | undefined;
  /** Published by vendors, as available to the verifier; absent parts are empty. */
  readonly collateral?: Partial<Collateral> | undefined;
  readonly crypto: AttestationCrypto;
  /** Reused between appraisals, it avoids repeated signature checks of the same certificates. */
  readonly cache?: CertificateCache | undefined;
}

/** Input of an appraisal against one build. */
export interface BuildInput extends Omit<AppraisalInput, 'reference'> {
  readonly reference: ReferenceBuild;
}

/** Content of the report, independent of the platform. */
export interface PlatformReport {
  readonly platform: 'snp' | 'tdx' | 'emulated' | 'unknown';
  readonly namedEmulated: boolean;
  /** 64 bytes; null when the report cannot be parsed. */
  readonly reportData: Uint8Array | null;
  /** HOST_DATA or MRCONFIGID, as the host set it at launch. */
  readonly hostData: Uint8Array | null;
}
