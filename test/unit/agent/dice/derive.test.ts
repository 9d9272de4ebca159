import { createPublicKey, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { decode } from 'cborg';
import { describe, expect, it } from 'vitest';
import { layerCertificate } from '../../../../src/agent/evidence/dice/certificate.ts';
import { DiceChain, layerInputs } from '../../../../src/agent/evidence/dice/chain.ts';
import { keyOf, nextCdis } from '../../../../src/agent/evidence/dice/derive.ts';
import { hasVectors, vectorsDir } from '../../../vectors.ts';

interface Case {
  readonly inputs: Record<string, string> & { mode: number };
  readonly expected: Record<string, string>;
}

if (!hasVectors) console.warn('DICE vectors are skipped: there is no vectors folder beside the checkout');
const bytes = (text: string | undefined): Buffer => Buffer.from(text ?? '', 'hex');
const hex = (value: Uint8Array | undefined): string => Buffer.from(value ?? []).toString('hex');
const SPKI_PREFIX = bytes('302a300506032b6570032100');

describe.skipIf(!hasVectors).each(['ZeroInput', 'HashOnlyInput'])('the published case %s', (name) => {
  const folder = join(vectorsDir(), 'open-dice');
  const read = (): Case => JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')).cases[name];
  const inputsOf = ({ inputs }: Case) => ({
    code: bytes(inputs['code_hash']),
    configuration: bytes(inputs['config']),
    authority: bytes(inputs['authority_hash']),
    mode: inputs.mode,
    hidden: bytes(inputs['hidden']),
  });

  it('produces the next CDIs', () => {
    const vector = read();
    const present = { attest: bytes(vector.inputs['cdi_attest']), seal: bytes(vector.inputs['cdi_seal']) };
    const next = nextCdis(present, inputsOf(vector));
    expect(hex(next.attest)).toBe(vector.expected['next_cdi_attest']);
    expect(hex(next.seal)).toBe(vector.expected['next_cdi_seal']);
  });

  it('produces the keys and identifiers of both layers', () => {
    const { inputs, expected } = read();
    const issuer = keyOf(bytes(inputs['cdi_attest']));
    const subject = keyOf(bytes(expected['next_cdi_attest']));
    expect([hex(issuer.publicKey), issuer.id]).toEqual([
      expected['ed25519_authority_public_key'],
      expected['issuer_id'],
    ]);
    expect([hex(subject.publicKey), subject.id]).toEqual([
      expected['ed25519_subject_public_key'],
      expected['subject_id'],
    ]);
  });

  it('produces the certificate, byte for byte', () => {
    const vector = read();
    const issuer = keyOf(bytes(vector.inputs['cdi_attest']));
    const subject = keyOf(bytes(vector.expected['next_cdi_attest']));
    const certificate = layerCertificate(issuer, subject, inputsOf(vector), null);
    expect(hex(certificate)).toBe(hex(readFileSync(join(folder, name, 'cbored25519cert.cbor'))));
  });
});

describe('DiceChain', () => {
  const secret = () => new Uint8Array(32).fill(7);
  const layer = (name: string, code: number) => ({ name, version: '1', code: new Uint8Array(32).fill(code) });

  it('clears the platform secret', () => {
    const given = secret();
    expect(new DiceChain(given).certificates).toEqual([]);
    expect(hex(given)).toBe('00'.repeat(32));
  });

  it('is equal for equal layers and differs from the first different layer on', () => {
    const chains = [1, 1, 2].map((code) => {
      const chain = new DiceChain(secret());
      chain.enter(layer('eos', 9));
      chain.enter(layer('agent', code));
      chain.enter(layer('computation', 5));
      return chain;
    });
    const certificates = chains.map((chain) => chain.certificates.map(hex));
    expect(certificates[1]).toEqual(certificates[0]);
    expect(certificates[2]?.[0]).toBe(certificates[0]?.[0]);
    expect(certificates[2]?.[1]).not.toBe(certificates[0]?.[1]);
    expect(certificates[2]?.[2]).not.toBe(certificates[0]?.[2]);
  });

  it('previews the certificate of a layer that is not entered', () => {
    const chain = new DiceChain(secret());
    chain.enter(layer('eos', 9));
    const shown = chain.certificatesWith(layer('agent', 1)).map(hex);
    expect(chain.certificates.map(hex)).toEqual(shown.slice(0, 1));
    chain.enter(layer('agent', 1));
    expect(chain.certificates.map(hex)).toEqual(shown);
  });

  it('signs the first layer with the key of the secret', () => {
    const chain = new DiceChain(secret());
    chain.enter(layer('eos', 9));
    const [header, , payload, signature] = decode(chain.certificates[0] ?? new Uint8Array(), {
      useMaps: true,
    }) as [Buffer, unknown, Buffer, Buffer];
    const byteString = (value: Uint8Array): Buffer => {
      const head =
        value.length < 24
          ? [0x40 + value.length]
          : value.length < 256
            ? [0x58, value.length]
            : [0x59, value.length >> 8, value.length & 255];
      return Buffer.concat([Buffer.from(head), value]);
    };
    // Sig_structure of RFC 9052, 4.4, written out by hand.
    const signed = Buffer.concat([
      Buffer.from([0x84, 0x6a]),
      Buffer.from('Signature1'),
      byteString(header),
      byteString(Buffer.alloc(0)),
      byteString(payload),
    ]);
    const key = createPublicKey({
      key: Buffer.concat([SPKI_PREFIX, chain.rootKey]),
      format: 'der',
      type: 'spki',
    });
    expect(verify(null, signed, key, signature)).toBe(true);
  });

  it('left-aligns a digest that is shorter than its field', () => {
    expect(hex(layerInputs(layer('eos', 9)).inputs.code)).toBe('09'.repeat(32) + '00'.repeat(32));
  });
});
