import { createHash } from 'node:crypto';
import { decode, encode } from 'cborg';
import { describe, expect, it } from 'vitest';
import { verifyDice } from '../../../src/attestation/appraisal/standalone.ts';
import { parseCborLayer } from '../../../src/attestation/dice/cbor-layer.ts';
import { parseCoseKey } from '../../../src/attestation/dice/cose.ts';
import { parsePolicy } from '../../../src/attestation/policy/policy.ts';
import { attestationCrypto as crypto } from '../../../src/crypto/attestation-crypto.ts';
import { AT, cborLayer, newKey, rawKey } from '../../fakes/fake-dice.ts';
import { openOak } from '../../fakes/oak.ts';
import { hasVectors } from '../../vectors.ts';

/** Encodings of DICE certificates in CBOR: keys that contradict themselves, other orders, other profiles. */

const refused = (text: string) =>
  expect.objectContaining({ code: 'EVIDENCE_INVALID', message: expect.stringContaining(text) });

describe('a COSE_Key', () => {
  const key = (entries: readonly (readonly [number, unknown])[]) => new Uint8Array(encode(new Map(entries)));
  const x = new Uint8Array(32).fill(1);
  const ed25519 = (algorithm: number) =>
    key([
      [1, 1],
      [3, algorithm],
      [-1, 6],
      [-2, x],
    ]);
  const p256 = (algorithm: number) =>
    key([
      [1, 2],
      [3, algorithm],
      [-1, 1],
      [-2, x],
      [-3, x],
    ]);

  it('is accepted with the algorithm of its kind, or none', () => {
    expect(parseCoseKey(ed25519(-8)).kind).toBe('ed25519');
    expect(parseCoseKey(p256(-7)).kind).toBe('P-256');
    expect(
      parseCoseKey(
        key([
          [1, 1],
          [-1, 6],
          [-2, x],
        ]),
      ).kind,
    ).toBe('ed25519');
  });

  it('is refused with the algorithm of another kind', () => {
    for (const bytes of [ed25519(-7), ed25519(-35), p256(-8), p256(-35)])
      expect(() => parseCoseKey(bytes)).toThrowError(refused('names algorithm'));
  });

  it('is refused with unsorted keys or a length that is not the shortest', () => {
    // {3: -8, 1: 1, -1: 6, -2: x}
    const unsorted = Uint8Array.from([0xa4, 0x03, 0x27, 0x01, 0x01, 0x20, 0x06, 0x21, 0x58, 32, ...x]);
    expect(() => parseCoseKey(unsorted)).toThrowError(refused('deterministic encoding'));
    const long = Uint8Array.from([0xa3, 0x01, 0x01, 0x20, 0x06, 0x21, 0x59, 0, 32, ...x]);
    expect(() => parseCoseKey(long)).toThrowError(refused('not CBOR'));
  });
});

describe('a certificate in CBOR', () => {
  const [root, subject] = [newKey(), newKey()];
  const parts = () => decode(cborLayer({ issuerKey: root, subjectKey: subject }), { useMaps: true });
  const withHeader = (header: Map<unknown, unknown>) => {
    const [first, , payload, signature] = parts();
    return parseCborLayer(new Uint8Array(encode([first, header, payload, signature])), crypto);
  };

  it('may name a key in its unprotected header, and nothing else', () => {
    expect(withHeader(new Map([[4, Uint8Array.of(1)]])).mode).toBe('normal');
    for (const header of [new Map([[1, -8]]), new Map<number, unknown>([[4, 'text']])])
      expect(() => withHeader(header)).toThrowError(refused('unprotected header'));
  });

  it('is refused with claims that are not sorted', () => {
    const [first, header, payload, signature] = parts();
    const claims = [...decode(payload, { useMaps: true })].reverse();
    const entries = claims.flatMap(([label, value]) => [encode(label), encode(value)]);
    const unsorted = Buffer.concat([Uint8Array.of(0xa0 + claims.length), ...entries]);
    const bytes = new Uint8Array(encode([first, header, new Uint8Array(unsorted), signature]));
    expect(() => parseCborLayer(bytes, crypto)).toThrowError(refused('deterministic encoding'));
  });

  it('names no root when it is signed with another algorithm than that of the root key', () => {
    const chain = [cborLayer({ issuerKey: newKey('P-256'), subjectKey: subject })];
    const policy = parsePolicy({
      version: 1,
      platforms: ['snp'],
      dice: { rootKeys: [Buffer.from(rawKey(root)).toString('hex')] },
    });
    const verdict = verifyDice({ format: 'cbor', chain, policy, at: AT, crypto });
    expect(verdict.checks.find(({ name }) => name === 'dice.root')?.found).toContain(
      'the first layer is signed with P-256, the trusted keys are ed25519',
    );
  });
});

describe.skipIf(!hasVectors)("Project Oak's layers (vectors)", () => {
  const verify = (chain: readonly Uint8Array[], dice: object = {}) => {
    const policy = parsePolicy({
      version: 1,
      platforms: ['snp'],
      dice: { rootKeys: [openOak().rootPoint], ...dice },
    });
    return verifyDice({ format: 'cbor', chain, policy, at: AT, crypto });
  };

  it('chain from the key that the report binds', () => {
    const { rootKey, chain, bytes } = openOak();
    const digest = createHash('sha256').update(rootKey).digest();
    expect(Buffer.from(bytes).includes(digest)).toBe(true);
    expect(verify(chain, { allowedModes: ['unstated'] }).failures).toEqual([]);
  });

  it('are refused by default, since they state no mode, and when a layer is missing', () => {
    const { chain } = openOak();
    expect(verify(chain).failures).toEqual(['dice.mode']);
    const [first, , third] = chain;
    if (first === undefined || third === undefined) throw new Error('no layers');
    const broken = verify([first, third], { allowedModes: ['unstated'] });
    expect(broken.failures).toEqual(['dice.signatures', 'dice.identifiers']);
  });
});
