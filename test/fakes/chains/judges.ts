import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { CheckList } from '../../../src/attestation/appraisal/verdict.ts';
import { NO_COLLATERAL } from '../../../src/attestation/collateral/collateral.ts';
import { parsePolicy } from '../../../src/attestation/policy/policy.ts';
import { verifyPckChain } from '../../../src/attestation/tdx/chain.ts';
import { endorsementProblem } from '../../../src/attestation/tpm/ak-certificate.ts';
import { CertificateCache } from '../../../src/attestation/x509/certificate-cache.ts';
import { parsePublicKey } from '../../../src/attestation/x509/public-key.ts';
import { attestationCrypto as crypto } from '../../../src/crypto/attestation-crypto.ts';
import { CocosError } from '../../../src/errors.ts';
import { toPem } from '../x509-issuer.ts';
import { type Chain, writeCertificate, writeList } from './chain.ts';
import { spkiOf } from './keys.ts';

/** The two validators, which get the same bytes. */

export interface WrittenChain {
  readonly chain: Chain;
  readonly leaf: Uint8Array;
  readonly anchor: Uint8Array;
  /** Certificates but the leaf, the anchor among them, in the order in which they come. */
  readonly others: readonly Uint8Array[];
  readonly lists: readonly Uint8Array[];
}

export function writeChain(chain: Chain): WrittenChain {
  const ders = chain.certificates.map(writeCertificate);
  const [leaf, ...above] = ders;
  const anchor = ders[chain.anchor];
  if (leaf === undefined || anchor === undefined) throw new Error('a chain has no leaf or no anchor');
  const others = [...above, ...chain.extra.map(writeCertificate)];
  if (chain.order === 'reversed') others.reverse();
  return { chain, leaf, anchor, others, lists: chain.lists.map(writeList) };
}

/** Why our validator refuses a chain; null if it accepts it. */
export function ourRefusal({ chain, leaf, anchor, others, lists }: WrittenChain): string | null {
  const cache = new CertificateCache();
  const trusted = `sha256:${createHash('sha256').update(anchor).digest('hex')}`;
  const ders = chain.order === 'reversed' ? [...others, leaf] : [leaf, ...others];
  const { at } = chain;
  try {
    if (chain.family === 'attestation-key') {
      const key = parsePublicKey(spkiOf(chain.certificates[0]?.key ?? missing()));
      if (key === null) return 'the key is of a kind that signs no quotes';
      const policy = parsePolicy({ version: 1, platforms: ['snp'], vtpm: { trustedRoots: [trusted] } });
      const context = { policy, collateral: NO_COLLATERAL, at, crypto, cache };
      return endorsementProblem({ key, declared: null, problems: null }, ders, context);
    }
    const checks = new CheckList();
    const context = {
      revocationLists: lists.map((der) => cache.revocationList(der)),
      requireRevocationLists: true,
      trustedRoots: [trusted],
      at,
      crypto,
      cache,
    };
    const certificates = ders.map((der) => cache.certificate(der));
    const found = verifyPckChain(certificates, context, checks);
    const revocation = checks.passed('chain.revocation-list', 'chain.revocation');
    if (found !== null && revocation) return null;
    const failed = checks.finish().checks.filter((check) => check.outcome === 'failed');
    return failed.map(({ name, found: what }) => `${name}: ${what}`).join(' | ') || 'incomplete';
  } catch (thrown) {
    const { code, message } = CocosError.from(thrown);
    if (code !== 'EVIDENCE_INVALID') throw thrown;
    return message;
  }
}

function missing(): never {
  throw new Error('a chain has no leaf');
}

const run = promisify(execFile);

/** Why openssl refuses a chain; null if it accepts it. */
export async function opensslRefusal(written: WrittenChain, folder: string): Promise<string | null> {
  const { chain, leaf, anchor, others, lists } = written;
  const file = (name: string): string => path.join(folder, name);
  await Promise.all([
    writeFile(file('leaf.pem'), toPem(leaf)),
    writeFile(file('anchor.pem'), toPem(anchor)),
    writeFile(file('others.pem'), others.map((der) => toPem(der)).join('')),
    writeFile(file('lists.pem'), lists.map((der) => toPem(der, 'X509 CRL')).join('')),
  ]);
  const options = [
    ...['-x509_strict', '-auth_level', '2', '-partial_chain', '-attime', String(chain.at / 1000)],
    ...['-trusted', file('anchor.pem'), '-untrusted', file('others.pem')],
    // Every authority of a PCK has a list, and the root has signed itself.
    ...(chain.family === 'pck' ? ['-check_ss_sig', '-crl_check_all', '-CRLfile', file('lists.pem')] : []),
  ];
  try {
    await run('openssl', ['verify', ...options, file('leaf.pem')]);
    return null;
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message.slice(thrown.message.indexOf('\n') + 1) : String(thrown);
  }
}
