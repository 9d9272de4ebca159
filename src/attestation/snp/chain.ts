import { bytesToHex } from '@noble/hashes/utils.js';
import { CocosError } from '../../errors.ts';
import type { AttestationCrypto } from '../crypto-port.ts';
import type { CheckList } from '../verdict.ts';
import type { Certificate } from '../x509/certificate.ts';
import { hasP384Key, profileProblems } from '../x509/profile.ts';
import { isoTime } from '../x509/time.ts';
import { SNP_SIGNED_BYTES, type SnpReport } from './abi.ts';
import { type Endorsement, parseEndorsement } from './endorsement.ts';
import { PRODUCTS, productOfRoot, type SnpProduct } from './products.ts';

/**
 * The chain of trust of an SNP report: endorsement key (VCEK or VLEK), its intermediate (ASK or ASVK), root (ARK).
 * A chain is proven when it ends in a pinned root; names only help to find the certificates.
 */

export interface ChainInput {
  readonly report: SnpReport;
  /** From the evidence and from collateral, in any order. */
  readonly certificates: readonly Certificate[];
  /** `sha256:` digest of the development root that the policy accepts. */
  readonly emulatedRoot: string | undefined;
  /** Time of appraisal, milliseconds since 1970. */
  readonly at: number;
  readonly crypto: AttestationCrypto;
}

export interface SnpChain {
  readonly leaf: Certificate;
  readonly endorsement: Endorsement;
  /** Product of the pinned root. */
  readonly product: SnpProduct;
}

/** Common name of every development root: enough to say EMULATED, never enough to trust. */
export const EMULATED_ROOT_NAME = `ARK-${PRODUCTS.emulated.authority}`;

const sameName = (a: Certificate['subject'], b: Certificate['subject']): boolean =>
  bytesToHex(a.der) === bytesToHex(b.der);

const signedBy = (certificate: Certificate, issuer: Certificate, crypto: AttestationCrypto): boolean =>
  crypto.verifyRsaPss384(issuer.spki, certificate.tbs, certificate.signature);

/** Whether the key of a certificate signed the report (bytes 0x000..0x29f). */
export function signedReport(report: SnpReport, leaf: Certificate, crypto: AttestationCrypto): boolean {
  if (!hasP384Key(leaf)) return false;
  return crypto.verifyP384(leaf.spki, report.bytes.subarray(0, SNP_SIGNED_BYTES), report.signature);
}

function findLeaf(
  input: ChainInput,
  checks: CheckList,
): { leaf: Certificate; endorsement: Endorsement } | null {
  const { report, crypto } = input;
  const expected = `a ${report.signingKey.toUpperCase()} certificate with a P-384 key`;
  const wanted = `SEV-${report.signingKey.toUpperCase()}`;
  const candidates = input.certificates.filter((c) => c.subject.commonName === wanted);
  // A cache may hold several for one chip: the one that signed is meant.
  const leaf = candidates.find((c) => signedReport(report, c, crypto)) ?? candidates[0];
  if (leaf === undefined || report.signingKey === 'none') {
    checks.record('chain.leaf', false, expected, 'none');
    return null;
  }
  if (!checks.record('chain.leaf', hasP384Key(leaf), expected, `${wanted}, serial ${leaf.serial}`))
    return null;
  try {
    return { leaf, endorsement: parseEndorsement(leaf) };
  } catch (thrown) {
    checks.record('chain.leaf', false, expected, CocosError.from(thrown).message);
    return null;
  }
}

function findIssuer(
  of: Certificate,
  all: readonly Certificate[],
  crypto: AttestationCrypto,
): Certificate | null {
  const candidates = all.filter((c) => sameName(c.subject, of.issuer));
  return candidates.find((c) => signedBy(of, c, crypto)) ?? candidates[0] ?? null;
}

function productOf(root: Certificate, input: ChainInput): SnpProduct | null {
  const digest = bytesToHex(input.crypto.sha256(root.der));
  const product = productOfRoot(digest);
  if (product !== null) return product;
  return input.emulatedRoot === `sha256:${digest}` ? 'emulated' : null;
}

function checkRoot(root: Certificate, input: ChainInput, checks: CheckList): SnpProduct | null {
  const product = productOf(root, input);
  const digest = `sha256:${bytesToHex(input.crypto.sha256(root.der))}`;
  const pinned = input.emulatedRoot === undefined ? 'an AMD root' : `an AMD root or ${input.emulatedRoot}`;
  const found =
    product === null ? `${root.subject.commonName ?? '?'} ${digest}` : `${product} root ${digest}`;
  checks.record('chain.root', product !== null, pinned, found);
  return product;
}

function checkProfile(
  chain: { leaf: Certificate; intermediate: Certificate; root: Certificate },
  product: SnpProduct,
  kind: Endorsement['kind'],
  checks: CheckList,
): void {
  const { authority } = PRODUCTS[product];
  const names = [
    [chain.intermediate, kind === 'vcek' ? `SEV-${authority}` : `SEV-VLEK-${authority}`],
    [chain.root, `ARK-${authority}`],
  ] as const;
  const misnamed = names.filter(([certificate, name]) => certificate.subject.commonName !== name);
  const problems = [
    ...profileProblems(chain.leaf, 'leaf'),
    ...profileProblems(chain.intermediate, 'ca'),
    ...profileProblems(chain.root, 'ca'),
    ...misnamed.map(([certificate, name]) => `${certificate.subject.commonName ?? '?'} is not ${name}`),
  ];
  const found = problems.length === 0 ? 'all as expected' : problems.join('; ');
  checks.record('chain.profile', problems.length === 0, 'RSA-4096 PSS SHA-384, authorities by class', found);
}

function checkValidity(certificates: readonly Certificate[], at: number, checks: CheckList): void {
  const outside = certificates.filter((c) => at < c.notBefore || at > c.notAfter);
  const shown = (outside.length > 0 ? outside : certificates).map(
    (c) => `${c.subject.commonName ?? '?'} ${isoTime(c.notBefore)} to ${isoTime(c.notAfter)}`,
  );
  checks.record('chain.validity', outside.length === 0, `valid at ${isoTime(at)}`, shown.join('; '));
}

/**
 * Builds and verifies the chain, recording every `chain.*` check.
 *
 * @returns the proven chain, or null when any link of it failed.
 */
export function verifyChain(input: ChainInput, checks: CheckList): SnpChain | null {
  const { certificates, crypto } = input;
  checks.notChecked('chain.revocation', 'revocation lists are not part of the collateral');
  const found = findLeaf(input, checks);
  if (found === null) return null;
  const { leaf, endorsement } = found;
  const leafName = leaf.issuer.commonName ?? 'its issuer';
  const intermediate = findIssuer(leaf, certificates, crypto);
  const leafSigned = intermediate !== null && signedBy(leaf, intermediate, crypto);
  const leafFound =
    intermediate === null ? 'no such certificate' : leafSigned ? 'signed' : 'signature is wrong';
  checks.record('chain.intermediate', leafSigned, `signed by ${leafName}`, leafFound);
  if (intermediate === null) return null;

  const root = findIssuer(intermediate, certificates, crypto);
  const rootSigned = root !== null && signedBy(intermediate, root, crypto) && signedBy(root, root, crypto);
  const rootFound = root === null ? 'no such certificate' : rootSigned ? 'signed' : 'signature is wrong';
  const rootName = intermediate.issuer.commonName ?? 'its issuer';
  checks.record('chain.root-signature', rootSigned, `signed by ${rootName}, itself self-signed`, rootFound);
  if (root === null) return null;

  const product = checkRoot(root, input, checks);
  checkValidity([leaf, intermediate, root], input.at, checks);
  if (product === null) return null;
  checkProfile({ leaf, intermediate, root }, product, endorsement.kind, checks);
  const proven = checks.passed(
    'chain.leaf',
    'chain.intermediate',
    'chain.root-signature',
    'chain.root',
    'chain.profile',
    'chain.validity',
  );
  return proven ? { leaf, endorsement, product } : null;
}
