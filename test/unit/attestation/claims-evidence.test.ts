import { encode } from 'cborg';
import { describe, expect, it } from 'vitest';
import {
  type Claims,
  decodeClaims,
  encodeClaims,
  reportData,
} from '../../../src/attestation/evidence/claims.ts';
import {
  decodeEvidence,
  type EvidenceBundle,
  encodeEvidence,
  evidenceDigest,
} from '../../../src/attestation/evidence/evidence.ts';
import { attestationCrypto as crypto } from '../../../src/crypto/attestation-crypto.ts';
import { vmLog } from '../../fakes/emulated-host.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const invalid = expect.objectContaining({ code: 'EVIDENCE_INVALID' });
const wrongInput = expect.objectContaining({ code: 'INPUT_INVALID' });

const claims: Claims = {
  version: 1,
  platform: 'snp',
  bootId: new Uint8Array(16).fill(1),
  signingKey: new Uint8Array(32).fill(2),
  kemKeys: [{ kem: 'x25519', publicKey: new Uint8Array(32).fill(4) }],
  manifestDigest: null,
  eosVersion: 'eos-1',
};

/** CBOR heads and texts assembled by hand from RFC 8949 section 3. */
const text = (s: string): string => (0x60 + s.length).toString(16) + Buffer.from(s).toString('hex');
const byteString = (fill: string, size: number): string =>
  (size < 24 ? (0x40 + size).toString(16) : `58${size.toString(16)}`) + fill.repeat(size);
/** Map of 7, keys sorted by their encoded bytes: shorter first, then bytewise (section 4.2.1). */
const CLAIMS_HEX = [
  'a7',
  text('bootId') + byteString('01', 16),
  `${text('kemKeys')}81a2${text('kem')}${text('x25519')}${text('publicKey')}${byteString('04', 32)}`,
  `${text('version')}01`,
  text('platform') + text('snp'),
  text('eosVersion') + text('eos-1'),
  text('signingKey') + byteString('02', 32),
  `${text('manifestDigest')}f6`,
].join('');

describe('encodeClaims', () => {
  it('writes deterministic CBOR', () => {
    expect(hex(encodeClaims(claims))).toBe(CLAIMS_HEX);
  });

  it('refuses claims that could not be decoded', () => {
    expect(() => encodeClaims({ ...claims, bootId: new Uint8Array(15) })).toThrowError(wrongInput);
    expect(() => encodeClaims({ ...claims, kemKeys: [] })).toThrowError(wrongInput);
  });
});

describe('decodeClaims', () => {
  const from = (text16: string) => decodeClaims(Buffer.from(text16, 'hex'));

  it('decodes encoded claims with every optional member', () => {
    const full: Claims = {
      ...claims,
      manifestDigest: new Uint8Array(32).fill(5),
      tpmAk: new Uint8Array(90).fill(6),
      diceLeaf: new Uint8Array(32).fill(7),
    };
    expect(decodeClaims(encodeClaims(full))).toEqual(full);
    expect(from(CLAIMS_HEX)).toEqual(claims);
  });

  it('refuses every prefix and trailing bytes', () => {
    for (let length = 0; length < CLAIMS_HEX.length; length += 2) {
      expect(() => from(CLAIMS_HEX.slice(0, length))).toThrowError(invalid);
    }
    expect(() => from(`${CLAIMS_HEX}00`)).toThrowError(invalid);
  });

  it.each([
    [
      'a duplicate key',
      CLAIMS_HEX.replace(/^a7/, 'a8').replace(text('version'), `${text('version')}01${text('version')}`),
    ],
    ['an unknown key', `${CLAIMS_HEX.replace(/^a7/, 'a8')}${text('zzzzzzzzzzzzzzz')}01`],
    ['a longer integer than needed', CLAIMS_HEX.replace(`${text('version')}01`, `${text('version')}1801`)],
    ['a map of indefinite length', `${CLAIMS_HEX.replace(/^a7/, 'bf')}ff`],
    ['a float for an integer', CLAIMS_HEX.replace(`${text('version')}01`, `${text('version')}f93c00`)],
    [
      'keys out of order',
      `a7${CLAIMS_HEX.slice(-(text('manifestDigest').length + 2))}${CLAIMS_HEX.slice(2, -(text('manifestDigest').length + 2))}`,
    ],
    ['version 2', CLAIMS_HEX.replace(`${text('version')}01`, `${text('version')}02`)],
    ['an unknown platform', CLAIMS_HEX.replace(text('snp'), text('sgx'))],
    ['a tag', CLAIMS_HEX.replace(`${text('version')}01`, `${text('version')}c101`)],
    ['deep nesting', '81'.repeat(60_000)],
  ])('refuses %s', (_, text16) => {
    expect(() => from(text16)).toThrowError(invalid);
  });

  it('refuses a key of the wrong size or one KEM twice', () => {
    const encoded = (change: object) => encode({ ...claims, ...change });
    const short = { kem: 'x25519', publicKey: new Uint8Array(31) };
    expect(() => decodeClaims(encoded({ kemKeys: [short] }))).toThrowError(invalid);
    const [key] = claims.kemKeys;
    expect(() => decodeClaims(encoded({ kemKeys: [key, key] }))).toThrowError(invalid);
  });

  it('refuses data above its limit before decoding', () => {
    expect(() => decodeClaims(new Uint8Array(64 * 1024 + 1))).toThrowError(invalid);
  });
});

describe('reportData', () => {
  const nonce = Uint8Array.from({ length: 32 }, (_, i) => i);

  it('is SHA-512 over domain, nonce and SHA-384 of the claims', () => {
    // Computed with Python's hashlib for claims bytes "claims".
    expect(hex(reportData(nonce, Buffer.from('claims'), crypto))).toBe(
      'd1af3d864093e11c06b4c20e769eb429a48378cc93b254289a78c64e703bfdbb2a8935e5f06ca27215c45581762b77cbfe7efda7ee0f798e161ad0b2cb512584',
    );
  });

  it.each([0, 31, 33])('refuses a nonce of %i bytes', (size) => {
    expect(() => reportData(new Uint8Array(size), Buffer.from('claims'), crypto)).toThrowError(wrongInput);
  });
});

describe('evidence', () => {
  const bundle: EvidenceBundle = {
    version: 1,
    claims: encodeClaims(claims),
    report: { kind: 'snp', report: new Uint8Array(1184), certificates: [Uint8Array.of(0x30, 0)] },
    launchLog: vmLog,
  };

  it('is decoded as it was encoded, with and without a launch log', () => {
    expect(decodeEvidence(encodeEvidence(bundle))).toEqual(bundle);
    const { launchLog: _, ...bare } = bundle;
    expect(decodeEvidence(encodeEvidence(bare))).toEqual(bare);
  });

  it('is identified by the SHA-256 of its bytes', () => {
    // FIPS 180-4 example: "abc"
    expect(evidenceDigest(Buffer.from('abc'), crypto)).toBe(
      'sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
    );
  });

  it('is refused if truncated', () => {
    const bytes = encodeEvidence(bundle);
    for (let length = 0; length < bytes.length; length += 1) {
      expect(() => decodeEvidence(bytes.subarray(0, length))).toThrowError(invalid);
    }
  });

  it.each([
    ['another version', { version: 2 }],
    ['an unknown member', { extra: 1 }],
    ['a report of the wrong size', { report: { ...bundle.report, report: new Uint8Array(1183) } }],
    ['an unknown report kind', { report: { ...bundle.report, kind: 'sgx' } }],
    [
      'too many certificates',
      { report: { ...bundle.report, certificates: Array.from({ length: 9 }, () => Uint8Array.of(1)) } },
    ],
    [
      'a certificate that is too large',
      { report: { ...bundle.report, certificates: [new Uint8Array(16_385)] } },
    ],
    ['an unknown launch', { launchLog: { ...vmLog, kind: 'container' } }],
    ['a launch digest in capitals', { launchLog: { ...vmLog, kernel: 'A'.repeat(64) } }],
    ['a command line with NUL', { launchLog: { ...vmLog, commandLine: 'a\0b' } }],
    ['no vCPU', { launchLog: { ...vmLog, vcpus: 0 } }],
  ])('refuses %s', (_, change) => {
    expect(() => decodeEvidence(encode({ ...bundle, ...change }))).toThrowError(invalid);
  });

  it('is refused above 1 MiB before decoding', () => {
    expect(() => decodeEvidence(new Uint8Array(1024 * 1024 + 1))).toThrowError(invalid);
  });
});
