import type { AttestationCrypto } from '../../crypto/crypto-port.ts';
import type { CheckList } from '../appraisal/verdict.ts';
import type { Certificate } from '../x509/certificate.ts';
import type { CertificateCache } from '../x509/certificate-cache.ts';
import type { RevocationList } from '../x509/crl.ts';
import { buildPath, checkValidity, nameOf, type Path } from '../x509/path.ts';
import { authorityProblem, criticalProblems, endEntityProblem, type PathRole } from '../x509/profile.ts';
import { checkRevocation } from '../x509/revocation.ts';

/** The chain of a TDX quote: PCK certificate, its authority, Intel's root (PCK Certificate and CRL Profile). */

/** SHA-256 of the DER of the Intel SGX Root CA. */
export const INTEL_ROOT = '44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3';

const WAIVER = 'your policy waives it (tdx.requireRevocationLists)';
/** Intel's provisioning service, for the lists of the root and of the PCK authorities (Intel PCS, version 4). */
const LIST_SOURCE =
  'https://certificates.trustedservices.intel.com/IntelSGXRootCA.der and https://api.trustedservices.intel.com/sgx/certification/v4/pckcrl?ca=platform (or ca=processor)';

const PCK_NAME = 'Intel SGX PCK Certificate';
const AUTHORITY_NAMES: readonly string[] = ['Intel SGX PCK Platform CA', 'Intel SGX PCK Processor CA'];
const ROOT_NAME = 'Intel SGX Root CA';
const OID_ECDSA_SHA256 = '1.2.840.10045.4.3.2';

/** Input of a TDX appraisal besides the quote. */
export interface TdxContext {
  readonly revocationLists: readonly RevocationList[];
  readonly requireRevocationLists: boolean;
  /** `sha256:` digests of roots beside Intel's that the policy accepts. */
  readonly trustedRoots: readonly string[];
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly crypto: AttestationCrypto;
  readonly cache: CertificateCache;
}

/** Whether a root is Intel's, or one that the policy names. */
export function isTrustedRoot(root: Certificate, context: TdxContext): boolean {
  const digest = context.cache.fingerprint(root, context.crypto);
  return digest === INTEL_ROOT || context.trustedRoots.includes(`sha256:${digest}`);
}

/** Violations of Intel's profile in a certificate: ECDSA P-256 with SHA-256 throughout. */
export function intelProblems(certificate: Certificate, role: PathRole): string[] {
  const name = nameOf(certificate);
  const problems = criticalProblems(certificate);
  if (certificate.signatureAlgorithm.oid !== OID_ECDSA_SHA256)
    problems.push(`${name} is not signed with ECDSA SHA-256`);
  if (certificate.key?.kind !== 'P-256') problems.push(`${name} has no P-256 key`);
  const problem =
    role === 'leaf' ? endEntityProblem(certificate) : authorityProblem(certificate, role === 'root' ? 1 : 0);
  if (problem !== null) problems.push(problem);
  if (role === 'leaf' && certificate.keyUsage?.digitalSignature === false)
    problems.push(`${name} may not sign data`);
  return problems;
}

function checkProfile({ leaf, intermediate, root }: Path, checks: CheckList): void {
  const problems = [
    ...intelProblems(leaf, 'leaf'),
    ...intelProblems(intermediate, 'intermediate'),
    ...intelProblems(root, 'root'),
  ];
  if (!AUTHORITY_NAMES.includes(nameOf(intermediate)))
    problems.push(`${nameOf(intermediate)} is no authority of PCKs`);
  if (nameOf(root) !== ROOT_NAME) problems.push(`${nameOf(root)} is not ${ROOT_NAME}`);
  const found = problems.length === 0 ? 'as expected' : problems.join('; ');
  checks.record('chain.profile', problems.length === 0, 'ECDSA P-256 with SHA-256, names by class', found);
}

/**
 * Builds and verifies the chain, recording every `chain.*` check.
 *
 * @returns the path if it ends in a trusted root and every signature in it is valid
 */
export function verifyPckChain(
  certificates: readonly Certificate[],
  context: TdxContext,
  checks: CheckList,
): Path | null {
  const leaf = certificates.find((certificate) => nameOf(certificate) === PCK_NAME);
  const expected = 'a PCK certificate';
  if (
    !checks.record(
      'chain.leaf',
      leaf !== undefined,
      expected,
      leaf === undefined ? 'none' : `serial ${leaf.serial}`,
    )
  )
    return null;
  if (leaf === undefined) return null;
  const path = buildPath(leaf, certificates, context, checks);
  if (path === null) return null;
  const { intermediate, root } = path;
  const digest = context.cache.fingerprint(root, context.crypto);
  const pinned = ["Intel's root", ...context.trustedRoots].join(' or ');
  checks.record('chain.root', isTrustedRoot(root, context), pinned, `${nameOf(root)} sha256:${digest}`);
  checkValidity([leaf, intermediate, root], context.at, checks);
  checkProfile(path, checks);
  const issued = [
    { authority: intermediate, certificates: [leaf] },
    { authority: root, certificates: [root, intermediate] },
  ];
  const { revocationLists: lists, at, requireRevocationLists: required } = context;
  checkRevocation({ issued, lists, at, required, waiver: WAIVER, source: LIST_SOURCE }, context, checks);
  const proven = checks.passed(
    'chain.leaf',
    'chain.intermediate',
    'chain.root-signature',
    'chain.root',
    'chain.profile',
    'chain.validity',
  );
  return proven ? path : null;
}
