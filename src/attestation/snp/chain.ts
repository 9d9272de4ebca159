import { bytesToHex } from '@noble/hashes/utils.js';
import type { AttestationCrypto } from '../../crypto/crypto-port.ts';
import { CocosError } from '../../errors.ts';
import type { CheckList } from '../appraisal/verdict.ts';
import { sameBytes } from '../encoding/bytes.ts';
import type { Certificate } from '../x509/certificate.ts';
import type { CertificateCache } from '../x509/certificate-cache.ts';
import type { RevocationList } from '../x509/crl.ts';
import { buildPath, checkValidity, type Path } from '../x509/path.ts';
import { hasP384Key, profileProblems } from '../x509/profile.ts';
import { checkRevocation } from '../x509/revocation.ts';
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
  /** DER of the endorsement certificate that the caller names; without it, the one that signed is looked for. */
  readonly endorsementKey: Uint8Array | undefined;
  readonly revocationLists: readonly RevocationList[];
  /** Whether evidence without a current list of the root is refused. */
  readonly requireRevocationList: boolean;
  /** `sha256:` digest of the development root that the policy accepts. */
  readonly emulatedRoot: string | undefined;
  /** Roots beside AMD's own that the policy accepts. */
  readonly trustedRoots: readonly { readonly product: SnpProduct; readonly sha256: string }[];
  /** Time of appraisal, milliseconds since 1970. */
  readonly at: number;
  readonly crypto: AttestationCrypto;
  readonly cache: CertificateCache;
}

export interface SnpChain {
  readonly leaf: Certificate;
  readonly endorsement: Endorsement;
  /** Product of the pinned root. */
  readonly product: SnpProduct;
}

/** Common name of every development root: it marks a platform EMULATED, but never makes it trusted. */
export const EMULATED_ROOT_NAME = `ARK-${PRODUCTS.emulated.authority}`;

const WAIVER = 'your policy waives it (snp.requireRevocationList)';
/** AMD's key distribution service (AMD 57230). */
const KEY_SERVICE = 'https://kdsintf.amd.com';

interface Leaf {
  readonly leaf: Certificate;
  readonly endorsement: Endorsement;
}

/** Whether the key of a certificate signed the report (bytes 0x000..0x29f). */
function signedReport(report: SnpReport, leaf: Certificate, crypto: AttestationCrypto): boolean {
  const { key } = leaf;
  if (key?.kind !== 'P-384') return false;
  const body = report.bytes.subarray(0, SNP_SIGNED_BYTES);
  return crypto.verifyEcdsa('P-384', 'sha384', key.point, body, report.signature);
}

/** Finds the endorsement certificate, recording `chain.leaf` and `report.signature`. */
function findLeaf(input: ChainInput, checks: CheckList): Leaf | null {
  const { report, crypto } = input;
  if (report.signingKey === 'none') {
    checks.record(
      'chain.leaf',
      false,
      'a report signed by a VCEK or VLEK',
      'SIGNING_KEY says that no key signed',
    );
    return null;
  }
  const expected = `a ${report.signingKey.toUpperCase()} certificate with a P-384 key`;
  const wanted = `SEV-${report.signingKey.toUpperCase()}`;
  const { endorsementKey } = input;
  const candidates = input.certificates.filter(
    ({ der, subject }) =>
      subject.commonName === wanted && (endorsementKey === undefined || sameBytes(der, endorsementKey)),
  );
  // A cache may contain several certificates of a chip; choose the one that signed.
  const signer = candidates.find((c) => signedReport(report, c, crypto));
  const leaf = signer ?? candidates[0];
  if (leaf === undefined) {
    checks.record('chain.leaf', false, expected, 'none');
    return null;
  }
  if (!checks.record('chain.leaf', hasP384Key(leaf), expected, `${wanted}, serial ${leaf.serial}`))
    return null;
  const key = `${report.signingKey.toUpperCase()} ${bytesToHex(crypto.sha256(leaf.spki)).slice(0, 16)}`;
  const signed = signer !== undefined;
  checks.record('report.signature', signed, `signed by ${key}`, signed ? 'signed' : 'invalid signature');
  try {
    return { leaf, endorsement: input.cache.derived(leaf, parseEndorsement) };
  } catch (thrown) {
    checks.record('chain.leaf', false, expected, CocosError.from(thrown).message);
    return null;
  }
}

function productOf(digest: string, input: ChainInput): SnpProduct | null {
  const product = productOfRoot(digest);
  if (product !== null) return product;
  const text = `sha256:${digest}`;
  if (input.emulatedRoot === text) return 'emulated';
  return input.trustedRoots.find((root) => root.sha256 === text)?.product ?? null;
}

function checkRoot(root: Certificate, input: ChainInput, checks: CheckList): SnpProduct | null {
  const digest = input.cache.fingerprint(root, input.crypto);
  const product = productOf(digest, input);
  const others = [input.emulatedRoot, ...input.trustedRoots.map(({ sha256 }) => sha256)];
  const pinned = ['an AMD root', ...others.filter((other) => other !== undefined)].join(' or ');
  const who = product === null ? (root.subject.commonName ?? '?') : `${product} root`;
  checks.record('chain.root', product !== null, pinned, `${who} sha256:${digest}`);
  return product;
}

function checkProfile(path: Path, product: SnpProduct, kind: Endorsement['kind'], checks: CheckList): void {
  const { authority } = PRODUCTS[product];
  const names = [
    [path.intermediate, kind === 'vcek' ? `SEV-${authority}` : `SEV-VLEK-${authority}`],
    [path.root, `ARK-${authority}`],
  ] as const;
  const misnamed = names.filter(([certificate, name]) => certificate.subject.commonName !== name);
  const problems = [
    ...profileProblems(path.leaf, 'leaf'),
    ...profileProblems(path.intermediate, 'intermediate'),
    ...profileProblems(path.root, 'root'),
    ...misnamed.map(([certificate, name]) => `${certificate.subject.commonName ?? '?'} is not ${name}`),
  ];
  const found = problems.length === 0 ? 'as expected' : problems.join('; ');
  checks.record('chain.profile', problems.length === 0, 'RSA-4096 PSS SHA-384, authorities by class', found);
}

/**
 * Builds and verifies the chain, recording every `chain.*` check and `report.signature`.
 *
 * @returns the proven chain, or null when any link of it failed.
 */
export function verifyChain(input: ChainInput, checks: CheckList): SnpChain | null {
  const found = findLeaf(input, checks);
  if (found === null) return null;
  const { leaf, endorsement } = found;
  const path = buildPath(leaf, input.certificates, input, checks);
  if (path === null) return null;
  const { intermediate, root } = path;
  const product = checkRoot(root, input, checks);
  checkValidity([leaf, intermediate, root], input.at, checks);
  // AMD revokes intermediates, by one list of the root.
  const issued = [{ authority: root, certificates: [root, intermediate, leaf] }];
  const { revocationLists: lists, at, requireRevocationList } = input;
  const isEmulated = product === 'emulated';
  const waiver = isEmulated ? 'the emulated platform has none' : WAIVER;
  const source = `${KEY_SERVICE}/${endorsement.kind}/v1/${PRODUCTS[product ?? 'emulated'].name}/crl`;
  const required = requireRevocationList && !isEmulated;
  checkRevocation({ issued, lists, at, required, waiver, source }, input, checks);
  if (product === null) return null;
  checkProfile(path, product, endorsement.kind, checks);
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
