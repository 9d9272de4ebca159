import type { Collateral } from '../../attestation/collateral/collateral.ts';
import { looksLikeCorim } from '../../attestation/corim/comid.ts';
import { referenceFromCorim } from '../../attestation/corim/reference-corim.ts';
import { parseStrictJson } from '../../attestation/encoding/strict-json.ts';
import { type AppraisalPolicy, parsePolicy } from '../../attestation/policy/policy.ts';
import { parseReferenceValues, type ReferenceValues } from '../../attestation/policy/reference.ts';
import { isPolicyEnvelope, openPolicy } from '../../attestation/policy/signed-policy.ts';
import { instantMs } from '../../attestation/x509/time.ts';
import { attestationCrypto } from '../../crypto/attestation-crypto.ts';
import { canonicalDigest } from '../../crypto/digest.ts';
import { CocosError } from '../../errors.ts';
import type { Manifest } from '../../machines/manifest.ts';
import { systemClock } from '../../runtime/clock.ts';
import { type Trace, traceTo } from '../../runtime/trace.ts';
import { collateralOf } from '../collateral/collateral.ts';
import { jsonIn, namingFile, readInput } from '../files.ts';
import { refuseRollback } from './policy-versions.ts';

/** What a party trusts when it appraises an enclave. */
export interface TrustInputs {
  readonly policy: AppraisalPolicy;
  /** Digest of the policy's JSON in canonical form, as a manifest pins it. */
  readonly policyDigest: string;
  readonly reference: ReferenceValues;
  /** From then on a signed policy is not accepted, milliseconds since 1970; null for a plain one. */
  readonly policyExpires: number | null;
  /** The files as they were read, for the audit record of a result. */
  readonly sources: TrustSources;
  /** Published by vendors; from the named folder or the default one. */
  readonly collateral: Collateral;
  /** Records every step of the appraisal; undefined for none. */
  readonly trace: Trace | undefined;
}

export interface TrustSources {
  readonly policy: Uint8Array;
  readonly reference: Uint8Array;
}

/** The files of {@link TrustInputs}, as command-line options. */
export interface TrustOptions {
  readonly policy: string;
  readonly reference: string;
  /** Public key that must have signed the policy, `ed25519:…`. */
  readonly policyKey?: string;
  readonly collateral?: string;
}

/**
 * Reads a policy, plain or signed.
 *
 * @param key public key that must have signed it, `ed25519:…`; a plain policy is refused with it, a signed one without it.
 * @throws CocosError POLICY_INVALID, FILE_NOT_FOUND, FILE_UNREADABLE
 */
export async function readPolicy(
  file: string,
  key: string | undefined,
  environment: NodeJS.ProcessEnv,
): Promise<AppraisalPolicy> {
  const { policy } = await openedPolicy(file, await readInput(file), { key, environment, isAudit: false });
  return policy;
}

interface OpenedFile {
  readonly policy: AppraisalPolicy;
  readonly json: unknown;
  readonly expires: number | null;
}

interface Signer {
  readonly key: string | undefined;
  readonly environment: NodeJS.ProcessEnv;
  /** Judges what was judged before: by the policy of that time, which may be expired and replaced by now. */
  readonly isAudit: boolean;
}

async function openedPolicy(
  file: string,
  bytes: Uint8Array,
  { key, environment, isAudit }: Signer,
): Promise<OpenedFile> {
  const json = jsonIn(file, bytes);
  if (!isPolicyEnvelope(json)) {
    if (key === undefined) return { json, policy: namingFile(file, () => parsePolicy(json)), expires: null };
    throw new CocosError(
      'POLICY_INVALID',
      `The policy ${file} is not signed, but --policy-key requires a signature.`,
    );
  }
  if (key === undefined)
    throw new CocosError(
      'POLICY_INVALID',
      `The policy ${file} is signed, but nothing says by whom it must be: name the public key of its signer with --policy-key, as its owner tells you, not as the file does.`,
    );
  const at = isAudit ? null : systemClock.wall();
  const opened = namingFile(file, () => openPolicy(json, key, at, attestationCrypto));
  const inner = innerPolicy(file, opened.policy);
  // Before it is recorded: one that nobody can use replaces none.
  const policy = namingFile(file, () => parsePolicy(inner));
  const result = { policy, json: inner, expires: instantMs(opened.terms.expires) };
  if (isAudit) return result;
  await refuseRollback(opened, environment).catch((thrown: unknown) => {
    if (CocosError.from(thrown).code !== 'POLICY_INVALID') throw thrown;
    return namingFile(file, () => {
      throw thrown;
    });
  });
  return result;
}

function innerPolicy(file: string, policy: Uint8Array): unknown {
  try {
    return parseStrictJson(new TextDecoder('utf-8', { fatal: true }).decode(policy));
  } catch (cause) {
    throw new CocosError(
      'POLICY_INVALID',
      `The signed policy in ${file} is not valid JSON without duplicate members.`,
      { cause },
    );
  }
}

/** Reference values as JSON or as CoRIM. @throws CocosError REFERENCE_INVALID */
function parseReference(file: string, bytes: Uint8Array): ReferenceValues {
  if (looksLikeCorim(bytes)) return namingFile(file, () => referenceFromCorim(bytes, systemClock.wall()));
  const json = jsonIn(file, bytes);
  return namingFile(file, () => parseReferenceValues(json));
}

/**
 * @param isAudit whether something is judged that was judged before: then a signed policy may be expired or replaced by now
 * @throws CocosError POLICY_INVALID, REFERENCE_INVALID, FILE_NOT_FOUND, FILE_UNREADABLE
 */
export async function readTrust(
  options: TrustOptions,
  environment: NodeJS.ProcessEnv,
  isAudit = false,
): Promise<TrustInputs> {
  const sources = { policy: await readInput(options.policy), reference: await readInput(options.reference) };
  const signer = { key: options.policyKey, environment, isAudit };
  const { json, policy, expires } = await openedPolicy(options.policy, sources.policy, signer);
  return {
    sources,
    policy,
    policyExpires: expires,
    policyDigest: canonicalDigest(json),
    reference: parseReference(options.reference, sources.reference),
    collateral: await collateralOf(options.collateral, environment),
    trace: traceTo(environment['COCOSAI_TRACE']),
  };
}

/** The policy digests to compare when the manifest pins a policy. */
export function pinnedPolicy(manifest: Manifest | undefined, trust: TrustInputs) {
  if (manifest?.policyDigest === undefined) return undefined;
  return { expected: manifest.policyDigest, found: trust.policyDigest };
}
