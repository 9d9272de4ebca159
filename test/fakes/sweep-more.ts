import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { decode } from 'cborg';
import { verifyDice, verifySnp, verifyTdx } from '../../src/attestation/appraisal/standalone.ts';
import { type Collateral, NO_COLLATERAL } from '../../src/attestation/collateral/collateral.ts';
import { parseEventLog } from '../../src/attestation/eventlog/parse.ts';
import { replayRtmrs } from '../../src/attestation/eventlog/replay.ts';
import { parsePolicy } from '../../src/attestation/policy/policy.ts';
import { parseCertificateTable } from '../../src/attestation/snp/certificate-table.ts';
import { parseCertificate } from '../../src/attestation/x509/certificate.ts';
import { CertificateCache } from '../../src/attestation/x509/certificate-cache.ts';
import { parseCrl } from '../../src/attestation/x509/crl.ts';
import { attestationCrypto as crypto } from '../../src/crypto/attestation-crypto.ts';
import { Seeded } from '../seeded.ts';
import { vectorsDir } from '../vectors.ts';
import { attestationKeyChain } from './chains/chain.ts';
import { ourRefusal, type WrittenChain, writeChain } from './chains/judges.ts';
import { WAIVERS } from './fake-amd.ts';
import { createCollateral, createIntel, createQuote, AT as INTEL_AT } from './fake-intel.ts';
import { openOak } from './oak.ts';
import type { Target } from './sweep.ts';
import { openTdx } from './tdx-vectors.ts';
import { toPem } from './x509-issuer.ts';

/** Parts of evidence in which no bit may change, beside those of one report, one quote and one statement of a TPM. */

const read = (...parts: string[]): Uint8Array => new Uint8Array(readFileSync(join(vectorsDir(), ...parts)));

function replaced<T>(list: readonly T[], index: number, value: T): T[] {
  return list.map((each, i) => (i === index ? value : each));
}

function replacedBytes(whole: Uint8Array, at: number, part: Uint8Array): Uint8Array {
  const out = Uint8Array.from(whole);
  out.set(part, at);
  return out;
}

/** Certificates of an attestation key, to the last byte: nothing in them is outside of what is signed or compared. */
export function attestationKeyTargets(): Target[] {
  const written = writeChain(attestationKeyChain(new Seeded(7)));
  const accepts = (changed: Partial<WrittenChain>) => ourRefusal({ ...written, ...changed }) === null;
  return [
    { name: 'certificate of an attestation key', bytes: written.leaf, accepts: (leaf) => accepts({ leaf }) },
    ...written.others.map((bytes, index) => ({
      name: `authority ${index + 1} of an attestation key`,
      bytes,
      // The anchor is pinned as it was.
      accepts: (changed: Uint8Array) => accepts({ others: replaced(written.others, index, changed) }),
    })),
  ];
}

const VCEK = '63da758de6644564adc5f4b93be8accd';
const ASK = '4ab7b379bbac4fe4a02f05aef327c782';
const ARK = 'c0b406a4a80349529743 3fb6014cd0ae'.replace(' ', '');

/** A certificate table with PEM. A change that leaves the certificates as they were, such as one of a line end, is none. */
export function pemTableTargets(): Target[] {
  const entries = [
    [VCEK, read('snp', 'genoa-v3', 'vcek.der')],
    [ASK, read('amd-roots', 'genoa_ask.der')],
    [ARK, read('amd-roots', 'genoa_ark.der')],
  ] as const;
  const texts = entries.map(([, der]) => Buffer.from(toPem(der)));
  let offset = 24 * (entries.length + 1);
  const heads = entries.map(([guid], index) => {
    const head = Buffer.concat([Buffer.from(guid, 'hex'), Buffer.alloc(8)]);
    head.writeUInt32LE(offset, 16);
    head.writeUInt32LE(texts[index]?.length ?? 0, 20);
    offset += texts[index]?.length ?? 0;
    return head;
  });
  const table = new Uint8Array(Buffer.concat([...heads, Buffer.alloc(24), ...texts]));
  const report = read('snp', 'genoa-v3', 'report.bin');
  const policy = parsePolicy({ version: 1, platforms: ['snp'], snp: WAIVERS });
  const at = Date.parse('2026-02-01T00:00:00Z');
  const cache = new CertificateCache();
  const hex = (bytes: Uint8Array): string[] =>
    parseCertificateTable(bytes).map((der) => Buffer.from(der).toString('hex'));
  const own = hex(table).join();
  const accepts = (changed: Uint8Array): boolean => {
    const whole = new Uint8Array(Buffer.concat([report, changed]));
    const verdict = verifySnp({
      ...{ report: whole, certificates: [], policy, collateral: NO_COLLATERAL, at, crypto, cache },
    });
    // Unchanged, it has to be accepted; changed, only with other certificates would that be wrong.
    return verdict.outcome === 'accepted' && (changed === table || hex(changed).join() !== own);
  };
  return [{ name: 'certificate table with PEM', bytes: table, accepts }];
}

/** Layers of Project Oak: what is signed, and the signatures. The unprotected header holds a key id that nobody signs or uses. */
export function oakTargets(): Target[] {
  const { chain, rootPoint } = openOak();
  const policy = parsePolicy({
    version: 1,
    platforms: ['snp'],
    dice: { rootKeys: [rootPoint], allowedModes: ['unstated'] },
  });
  const accepts = (layers: readonly Uint8Array[]): boolean =>
    verifyDice({ format: 'cbor', chain: layers, policy, at: INTEL_AT, crypto }).outcome === 'accepted';
  return chain.flatMap((layer, index) => {
    const [head, , payload, signature]: Uint8Array[] = decode(layer, { useMaps: true });
    return [
      ['protected header', head],
      ['claims', payload],
      ['signature', signature],
    ].flatMap(([what, part]) => {
      if (!(part instanceof Uint8Array)) return [];
      const at = Buffer.from(layer).indexOf(part);
      return [
        {
          name: `layer ${index + 1} of Oak, ${String(what)}`,
          bytes: part,
          accepts: (changed: Uint8Array) =>
            accepts(replaced(chain, index, replacedBytes(layer, at, changed))),
        },
      ];
    });
  });
}

/** Collateral of a real quote: everything that Intel signed, and the signatures. */
export function collateralTargets(): Target[] {
  const { quote, collateral, at } = openTdx('v4-full-collateral');
  const policy = parsePolicy({ version: 1, platforms: ['tdx'], tdx: { requireRevocationLists: true } });
  const cache = new CertificateCache();
  const accepts = (changed: Partial<Collateral>): boolean =>
    verifyTdx({ quote, policy, collateral: { ...collateral, ...changed }, at, crypto, cache }).outcome ===
    'accepted';
  const signed = (what: 'tcbInfos' | 'qeIdentities', name: string): Target[] => {
    const [item] = collateral[what];
    if (item === undefined) throw new Error('no collateral');
    return [
      { name, bytes: item.body, accepts: (body) => accepts({ [what]: [{ ...item, body }] }) },
      {
        name: `signature of ${name}`,
        bytes: item.signature,
        accepts: (signature) => accepts({ [what]: [{ ...item, signature }] }),
      },
    ];
  };
  const inside = (
    what: 'certificates' | 'revocationLists',
    name: string,
    tbsOf: (der: Uint8Array) => Uint8Array,
  ): Target[] =>
    collateral[what].map((der, index) => {
      const tbs = tbsOf(der);
      const place = tbs.byteOffset - der.byteOffset;
      return {
        name: `signed part of ${name} ${index + 1}`,
        bytes: tbs,
        accepts: (changed) =>
          accepts({ [what]: replaced(collateral[what], index, replacedBytes(der, place, changed)) }),
      };
    });
  return [
    ...signed('tcbInfos', 'TCB information'),
    ...signed('qeIdentities', 'QE identity'),
    // The root beside it is not used: the quote has its own, which is pinned.
    ...inside('certificates', 'signing certificate', (der) => parseCertificate(der).tbs).slice(0, 1),
    ...inside('revocationLists', 'revocation list', (der) => parseCrl(der).tbs),
  ];
}

/** The registers and digests of a real log of a trust domain, beside a quote of what it replays to. */
export function eventLogTargets(): Target[] {
  const log = read('eventlog', 'ccel-cos113-with-quote', 'ccel.bin');
  const { events } = parseEventLog(log, 'rtmr');
  const rtmrs = replayRtmrs(parseEventLog(log, 'rtmr'), crypto);
  const intel = createIntel();
  const quote = createQuote(intel, {
    beforeSigning: (bytes, body) => {
      rtmrs.forEach((value, index) => {
        bytes.set(value, body + 328 + 48 * index);
      });
    },
  });
  const policy = parsePolicy({ version: 1, platforms: ['tdx'], tdx: { trustedRoots: [intel.rootDigest] } });
  const rest = { quote, collateral: createCollateral(intel), policy, at: INTEL_AT, crypto };
  const cache = new CertificateCache();
  const places = events
    .filter(({ type }) => type !== 3)
    .map(({ digests }) => (digests.get('sha384')?.byteOffset ?? 0) - log.byteOffset);
  // Before a digest: register, type, number of digests (4 bytes each), algorithm (2).
  const spans = places.flatMap((at) => [[at - 14, 4] as const, [at, 48] as const]);
  const bytes = new Uint8Array(Buffer.concat(spans.map(([at, size]) => log.subarray(at, at + size))));
  const accepts = (changed: Uint8Array): boolean => {
    const out = Uint8Array.from(log);
    let from = 0;
    for (const [at, size] of spans) {
      out.set(changed.subarray(from, from + size), at);
      from += size;
    }
    return verifyTdx({ ...rest, eventLog: out, cache }).outcome === 'accepted';
  };
  return [{ name: 'registers and digests of a log', bytes, accepts }];
}
