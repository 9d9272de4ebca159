import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { p256, p384 } from '@noble/curves/nist.js';
import { describe, expect, it } from 'vitest';
import { verifyDice } from '../../../src/attestation/appraisal/standalone.ts';
import { parseCborLayer } from '../../../src/attestation/dice/cbor-layer.ts';
import { splitDiceChain } from '../../../src/attestation/dice/chain-file.ts';
import { keyIdentifier } from '../../../src/attestation/dice/identifier.ts';
import { parseX509Layer } from '../../../src/attestation/dice/x509-layer.ts';
import { parsePolicy } from '../../../src/attestation/policy/policy.ts';
import { attestationCrypto as crypto } from '../../../src/crypto/attestation-crypto.ts';
import {
  AT,
  cborLayer,
  idOf,
  type Layer,
  newKey,
  openDice,
  rawKey,
  tcgTcbInfo,
  x509Layer,
} from '../../fakes/fake-dice.ts';
import { toPem } from '../../fakes/x509-issuer.ts';
import { hasVectors, vectorsDir } from '../../vectors.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const keys = [newKey(), newKey('P-256'), newKey('P-384'), newKey()] as const;
const [root, first, second, third] = keys;

type Format = 'cbor' | 'x509';
const write = { cbor: cborLayer, x509: x509Layer };

/** Three layers, each with optional changes. */
function chainOf(format: Format, changes: readonly Partial<Layer>[] = []): Uint8Array[] {
  const layers: Layer[] = [
    { issuerKey: root, subjectKey: first },
    { issuerKey: first, subjectKey: second },
    { issuerKey: second, subjectKey: third },
  ];
  return layers.map((layer, index) => write[format]({ ...layer, ...changes[index] }));
}

function verify(format: Format, chain: readonly Uint8Array[], dice: object = {}) {
  const policy = parsePolicy({
    version: 1,
    platforms: ['snp'],
    dice: { rootKeys: [hex(rawKey(root))], ...dice },
  });
  return verifyDice({ format, chain, policy, at: AT, crypto });
}

describe('a DICE chain in X.509', () => {
  const failures = (...lengths: readonly (number | undefined)[]) =>
    verify(
      'x509',
      chainOf(
        'x509',
        lengths.map((pathLength) => (pathLength === undefined ? {} : { pathLength })),
      ),
    ).failures;

  it('is refused with more layers than one of them allows below it', () => {
    expect(failures(1, 0, 0)).toEqual([]);
    expect(failures(0)).toEqual(['dice.profile']);
  });
});

describe.each(['cbor', 'x509'] as const)('a DICE chain in %s', (format) => {
  const failures = (changes: readonly Partial<Layer>[], dice: object = {}) =>
    verify(format, chainOf(format, changes), dice).failures;

  it('is accepted unchanged', () => {
    expect(failures([])).toEqual([]);
  });

  it('74: is refused with a certificate of another issuer key', () => {
    const other = newKey('P-256');
    const failed = failures([{}, { issuerKey: other, issuer: idOf(first) }]);
    expect(failed).toEqual(['dice.signatures']);
  });

  it('75: is refused if its code is not listed in the policy', () => {
    const code = 'c0'.repeat(64);
    const rules = (third: string) => ({ layers: [{ codeHashes: [code] }, {}, { codeHashes: [third] }] });
    expect(failures([], rules(code))).toEqual([]);
    expect(failures([], rules('c1'.repeat(64)))).toEqual(['dice.code']);
    expect(failures([{}, {}, { codeHash: new Uint8Array(64) }], rules(code))).toEqual(['dice.code']);
    expect(failures([], { layers: [{ codeHashes: [code] }] })).toEqual(['dice.code']);
  });

  it('is refused if its configuration or authority is not listed in the policy', () => {
    const descriptor = new TextEncoder().encode('configuration');
    const configHash = new Uint8Array(createHash('sha512').update(descriptor).digest());
    const change = [{ descriptor, configHash }];
    const layers = (rule: object) => ({ layers: [rule, {}, {}] });
    expect(failures(change, layers({ configurations: [hex(configHash)] }))).toEqual([]);
    expect(failures(change, layers({ configurations: ['00'.repeat(64)] }))).toEqual(['dice.configuration']);
    expect(failures([], layers({ authorityHashes: ['a0'.repeat(64)] }))).toEqual([]);
    expect(failures([], layers({ authorityHashes: ['00'.repeat(64)] }))).toEqual(['dice.authority']);
    expect(failures([{ descriptor, configHash: new Uint8Array(64) }])).toEqual(['dice.profile']);
  });

  it.each([
    [0, 'not-configured'],
    [2, 'debug'],
    [3, 'recovery'],
  ])('76: is refused in mode %i unless the policy allows it', (mode, name) => {
    expect(failures([{}, { mode }])).toEqual(['dice.mode']);
    expect(failures([{}, { mode }], { allowedModes: ['normal', name] })).toEqual([]);
    expect(failures([{ mode: 4 }])).toEqual(['dice.parse']);
  });

  it('77: is refused if a layer is missing', () => {
    const [a, , c] = chainOf(format);
    const failed = verify(format, [a ?? new Uint8Array(), c ?? new Uint8Array()]).failures;
    expect(failed).toEqual(['dice.signatures', 'dice.identifiers']);
  });

  it('77: is refused if an identifier is not that of the key', () => {
    expect(failures([{ subject: idOf(third) }, { issuer: idOf(third) }])).toContain('dice.identifiers');
  });

  it('78: is refused under another root key', () => {
    expect(failures([], { rootKeys: [hex(rawKey(newKey()))] })).toEqual(['dice.root']);
  });

  it('is incomplete without any root key', () => {
    const verdict = verify(format, chainOf(format), { rootKeys: [] });
    expect(verdict.failures).toEqual(['dice.root', 'dice.signatures']);
    expect(verdict.missing).toEqual(verdict.failures);
  });

  it('is refused with any bit of a certificate changed', () => {
    const chain = chainOf(format);
    const middle = chain[1] ?? new Uint8Array();
    for (let at = 0; at < middle.length; at += 7) {
      const changed = Uint8Array.from(middle);
      changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8));
      const verdict = verify(format, [chain[0] ?? middle, changed, chain[2] ?? middle]);
      expect(verdict.outcome, `byte ${at}`).toBe('rejected');
    }
  });
});

describe('DICE in X.509', () => {
  it('is refused after it has expired', () => {
    const chain = chainOf('x509', [{}, { notAfter: AT - 1000 }]);
    expect(verify('x509', chain).failures).toEqual(['dice.validity']);
  });

  it("supports TCG's TCB info, with its flags as the mode", () => {
    const digest = new Uint8Array(32).fill(0xc0);
    const layer = { issuerKey: root, subjectKey: first };
    const rules = { layers: [{ codeHashes: ['c0'.repeat(32)] }] };
    expect(verify('x509', [x509Layer(layer, tcgTcbInfo(digest, 0))], rules).failures).toEqual([]);
    expect(verify('x509', [x509Layer(layer, tcgTcbInfo(digest, 0x10))], rules).failures).toEqual([
      'dice.mode',
    ]);
    expect(verify('x509', [x509Layer(layer, tcgTcbInfo(new Uint8Array(32), 0))], rules).failures).toEqual([
      'dice.code',
    ]);
    // Flags that are there twice: debug and then none. Flags that are missing state no mode.
    expect(verify('x509', [x509Layer(layer, tcgTcbInfo(digest, 0x10, 0))], rules).failures).toEqual([
      'dice.parse',
    ]);
    const silent = [x509Layer(layer, tcgTcbInfo(digest))];
    expect(verify('x509', silent, rules).failures).toEqual(['dice.mode']);
    expect(verify('x509', silent, { ...rules, allowedModes: ['unstated'] }).failures).toEqual([]);
  });

  it('is refused with two descriptions of one layer, of which one may say debug', () => {
    const layer = { issuerKey: root, subjectKey: first };
    const [own, tcg] = [openDice(layer), tcgTcbInfo(new Uint8Array(32), 0x10)];
    expect(verify('x509', [x509Layer(layer, own)]).failures).toEqual([]);
    for (const both of [
      [own, tcg],
      [tcg, own],
      [own, { ...tcg, critical: false }],
    ])
      expect(verify('x509', [x509Layer(layer, ...both)]).failures).toEqual(['dice.parse']);
  });
});

describe('DICE in CBOR', () => {
  it('is refused if a key may not sign the next layer', () => {
    expect(verify('cbor', chainOf('cbor', [{ keyUsage: 0x80 }])).failures).toEqual(['dice.profile']);
  });
});

describe('splitDiceChain', () => {
  it('accepts PEM, DER, a CBOR sequence, a CBOR array and a leading root key', () => {
    const x509 = chainOf('x509');
    const cbor = chainOf('cbor');
    const forms: readonly (readonly [Format, Uint8Array])[] = [
      ['x509', new TextEncoder().encode(x509.map((der) => toPem(der)).join(''))],
      ['x509', Uint8Array.from(x509.flatMap((der) => [...der]))],
      ['cbor', Uint8Array.from(cbor.flatMap((item) => [...item]))],
      ['cbor', Uint8Array.from([0x83, ...cbor.flatMap((item) => [...item])])],
    ];
    for (const [format, bytes] of forms) {
      const split = splitDiceChain(bytes);
      expect(split.format).toBe(format);
      expect(split.chain.map(hex)).toEqual((format === 'x509' ? x509 : cbor).map(hex));
    }
    const key = Uint8Array.from([
      0xa4,
      0x01,
      0x01,
      0x03,
      0x27,
      0x20,
      0x06,
      0x21,
      0x58,
      0x20,
      ...rawKey(root),
    ]);
    const withKey = splitDiceChain(Uint8Array.from([0x84, ...key, ...cbor.flatMap((item) => [...item])]));
    expect(hex(withKey.rootKey ?? new Uint8Array())).toBe(hex(rawKey(root)));
    expect(withKey.chain).toHaveLength(3);
  });
});

describe.skipIf(!hasVectors)('the published certificates', () => {
  const load = (...parts: string[]) =>
    new Uint8Array(readFileSync(join(vectorsDir(), 'open-dice', ...parts)));

  /** Points whose keys could have made an ECDSA signature. */
  function candidates(curve: typeof p256, message: Uint8Array, signature: Uint8Array): string[] {
    return [0, 1].flatMap((recovery) => {
      try {
        const found = new curve.Signature(
          BigInt(`0x${hex(signature.subarray(0, signature.length / 2))}`),
          BigInt(`0x${hex(signature.subarray(signature.length / 2))}`),
          recovery,
        );
        const digest = curve === p256 ? crypto.sha256(message) : crypto.sha384(message);
        return [found.recoverPublicKey(digest).toHex(false)];
      } catch {
        return [];
      }
    });
  }

  it.each([
    ['ZeroInput', 'cborp256cert.cbor', p256],
    ['ZeroInput', 'x509p256cert.der', p256],
    ['ZeroInput', 'cborp384cert.cbor', p384],
    ['HashOnlyInput', 'cborp256cert.cbor', p256],
    ['HashOnlyInput', 'x509p256cert.der', p256],
    ['HashOnlyInput', 'cborp384cert.cbor', p384],
  ] as const)('%s/%s is signed by the key that its issuer identifier names', (folder, file, curve) => {
    const bytes = load(folder, file);
    const format = file.endsWith('.der') ? 'x509' : 'cbor';
    const layer = format === 'x509' ? parseX509Layer(bytes, crypto) : parseCborLayer(bytes, crypto);
    const kind = curve === p256 ? 'P-256' : 'P-384';
    // The set does not contain the key of the CA; the identifier selects it from the keys that fit the signature.
    const own = candidates(curve, layer.signed.message, layer.signed.signature).filter((text) => {
      const point = new Uint8Array(Buffer.from(text, 'hex'));
      return keyIdentifier({ kind, point }, crypto) === layer.issuer;
    });
    expect(own).toHaveLength(1);
    const policy = parsePolicy({
      version: 1,
      platforms: ['snp'],
      dice: { rootKeys: own, allowedModes: ['not-configured'] },
    });
    expect(verifyDice({ format, chain: [bytes], policy, at: AT, crypto }).failures).toEqual([]);
  });
});
