import { createHash, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { verifySnp, verifyTdx } from '../../../src/attestation/appraisal/standalone.ts';
import { NO_COLLATERAL } from '../../../src/attestation/collateral/collateral.ts';
import { parsePolicy } from '../../../src/attestation/policy/policy.ts';
import { endorsementProblem } from '../../../src/attestation/tpm/ak-certificate.ts';
import { CertificateCache } from '../../../src/attestation/x509/certificate-cache.ts';
import { bitString, oid, sequence } from '../../../src/attestation/x509/der-writer.ts';
import { parsePublicKey } from '../../../src/attestation/x509/public-key.ts';
import { attestationCrypto as crypto } from '../../../src/crypto/attestation-crypto.ts';
import { arkList, createAmd, createReport } from '../../fakes/fake-amd.ts';
import { AT, createCollateral, createIntel, createQuote } from '../../fakes/fake-intel.ts';
import { AUTHORITY, type Extension, issue } from '../../fakes/x509-issuer.ts';
import { Seeded } from '../../seeded.ts';

/** Several certificates of one key, of which one path is valid: RFC 5280 6 wants any valid path, whatever the order. */

const DAY = 86_400_000;
const NOW = { notBefore: AT - 100 * DAY, notAfter: AT + 100 * DAY };
/** Valid longer than the others, so that the longest does not win by chance. */
const LONG = { notBefore: AT - 100 * DAY, notAfter: AT + 1000 * DAY };
const PAST = { notBefore: AT - 900 * DAY, notAfter: AT - 100 * DAY };

const ecKey = (): KeyObject => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
const USAGE: Extension = { oid: '2.5.29.15', critical: true, value: bitString(Uint8Array.of(0x80), 7) };
/** tcg-kp-AIKCertificate. */
const OF_AK = [{ oid: '2.5.29.37', value: sequence(oid('2.23.133.8.3')) }, USAGE];

const keys = { root: ecKey(), rogue: ecKey(), ca: ecKey(), ak: ecKey() };
let serial = 1;
const certificate = (
  subject: string,
  key: KeyObject,
  by: readonly [string, KeyObject],
  extensions: readonly Extension[],
  validity = NOW,
): Uint8Array => {
  serial += 1;
  const issuer = { name: by[0], key: by[1] };
  return issue({ subject, issuer, serial: Uint8Array.of(serial), validity, publicKey: key, extensions });
};
const ROOT = ['Root', keys.root] as const;
const ROGUE = ['Rogue', keys.rogue] as const;
const CA = ['CA', keys.ca] as const;
const root = certificate('Root', keys.root, ROOT, AUTHORITY);
const chain = [root, certificate('CA', keys.ca, ROOT, AUTHORITY), certificate('AK', keys.ak, CA, OF_AK)];
const DECOYS: Readonly<Record<string, readonly Uint8Array[]>> = {
  'an expired certificate of the key': [certificate('AK', keys.ak, CA, OF_AK, PAST)],
  'a certificate of the key by a foreign authority': [
    certificate('AK', keys.ak, ROGUE, OF_AK, LONG),
    certificate('Rogue', keys.rogue, ROGUE, AUTHORITY, LONG),
  ],
  'a certificate of the key for no purpose': [certificate('AK', keys.ak, CA, [USAGE], LONG)],
  'an authority that a foreign one certified too': [
    certificate('CA', keys.ca, ROGUE, AUTHORITY, LONG),
    certificate('Rogue', keys.rogue, ROGUE, AUTHORITY, LONG),
  ],
  'an expired certificate of the authority': [certificate('CA', keys.ca, ROOT, AUTHORITY, PAST)],
  'a certificate of the authority that is no CA': [certificate('CA', keys.ca, ROOT, [USAGE], LONG)],
};

function shuffled<T>(list: readonly T[], seeded: Seeded): T[] {
  const rest = [...list];
  const out: T[] = [];
  while (rest.length > 0) out.push(...rest.splice(seeded.below(rest.length), 1));
  return out;
}

const spki = new Uint8Array(createPublicKey(keys.ak).export({ format: 'der', type: 'spki' }));
function problemOf(ders: readonly Uint8Array[]): string | null {
  const key = parsePublicKey(spki);
  if (key === null) throw new Error('no key');
  const trusted = `sha256:${createHash('sha256').update(root).digest('hex')}`;
  const policy = parsePolicy({ version: 1, platforms: ['snp'], vtpm: { trustedRoots: [trusted] } });
  const context = { policy, collateral: NO_COLLATERAL, at: AT, crypto, cache: new CertificateCache() };
  return endorsementProblem({ key, declared: null, problems: null }, ders, context);
}

describe('The endorsement of an attestation key', () => {
  it.each(Object.entries(DECOYS))('is found in every order beside %s', (_, decoys) => {
    const seeded = new Seeded(7);
    const all = [...chain, ...decoys];
    for (let round = 0; round < 20; round += 1) expect(problemOf(shuffled(all, seeded))).toBeNull();
    expect(problemOf([...chain, ...decoys])).toBeNull();
    expect(problemOf([...decoys, ...chain])).toBeNull();
  });

  it('is found in every order among all of them, and without its authority has one reason in every order', () => {
    const seeded = new Seeded(8);
    const decoys = Object.values(DECOYS).flat();
    const reasons = new Set<string | null>();
    for (let round = 0; round < 40; round += 1) {
      expect(problemOf(shuffled([...chain, ...decoys], seeded))).toBeNull();
      reasons.add(problemOf(shuffled([root, ...decoys], seeded)));
    }
    expect([...reasons]).toEqual([expect.any(String)]);
  });
});

describe('The authorities of a report', () => {
  it('are found in every order', async () => {
    const amd = await createAmd('Milan');
    const { report, certificates: own } = createReport(amd);
    const [leaf, ask, ark] = own;
    if (leaf === undefined || ask === undefined || ark === undefined) throw new Error('no chain');
    const publicKey = amd.ask.key;
    const rogue = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
    const twin = (issuer: { name: string; key: KeyObject }, validity: typeof NOW): Uint8Array =>
      issue({
        ...{ subject: 'SEV-Milan', issuer, serial: Uint8Array.of(3), validity, publicKey },
        extensions: AUTHORITY,
      });
    const decoys = [twin(amd.ark, PAST), twin({ name: 'ARK-Other', key: rogue }, LONG)];
    const policy = parsePolicy({ version: 1, platforms: ['snp'], snp: { trustedRoots: amd.trustedRoots } });
    const failures = (certificates: readonly Uint8Array[]) => {
      const collateral = { ...NO_COLLATERAL, revocationLists: [arkList(amd, [])] };
      const verdict = verifySnp({ report, certificates, policy, collateral, at: AT, crypto });
      return verdict.failures.filter((name) => name.startsWith('chain.'));
    };
    const seeded = new Seeded(9);
    for (let round = 0; round < 10; round += 1)
      expect(failures(shuffled([leaf, ask, ark, ...decoys], seeded))).toEqual([]);
  });
});

describe('A TDX quote', () => {
  it('has one verdict whatever certificates come with it, in every order', () => {
    const intel = createIntel();
    const quote = createQuote(intel);
    const base = createCollateral(intel);
    const policy = parsePolicy({ version: 1, platforms: ['tdx'], tdx: { trustedRoots: [intel.rootDigest] } });
    const { root: issuer, tcbSigner } = intel;
    const expired = issue({
      ...{ subject: tcbSigner.name, issuer, serial: Uint8Array.of(99), validity: PAST },
      ...{ publicKey: tcbSigner.key, extensions: [USAGE] },
    });
    const oldRoot = issue({
      ...{ subject: issuer.name, issuer, serial: Uint8Array.of(98), validity: PAST },
      ...{ publicKey: issuer.key, extensions: AUTHORITY },
    });
    const seeded = new Seeded(10);
    for (let round = 0; round < 10; round += 1) {
      const certificates = shuffled([...base.certificates, expired, oldRoot], seeded);
      const verdict = verifyTdx({ quote, policy, collateral: { ...base, certificates }, at: AT, crypto });
      expect({ failures: verdict.failures, outcome: verdict.outcome }).toEqual({
        failures: [],
        outcome: 'accepted',
      });
    }
  });
});
