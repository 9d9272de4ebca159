import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Aes256Gcm, CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from '@hpke/core';
import * as HpkeJs from 'hpke-js';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { fromHex, toHex, utf8 } from '../../../src/crypto/bytes.ts';
import { sha256Text } from '../../../src/crypto/digest.ts';
import {
  deriveKemKeyPair,
  generateKemKeyPair,
  isSuite,
  kemOf,
  type Suite,
  setupReceiver,
  setupSender,
} from '../../../src/crypto/hpke.ts';
import { hasVectors, vectorsDir } from '../../vectors.ts';
import { codeOf, flip } from './support.ts';

const MODE_BASE = 0;
const MODE_AUTH = 2;
const AEADS: Readonly<Record<number, Suite['aead']>> = { 2: 'aes-256-gcm', 3: 'chacha20-poly1305' };
const EMPTY = new Uint8Array(0);
const INFO = utf8('info');

const Vectors = z.array(
  z.object({
    mode: z.number(),
    mode_name: z.string(),
    aead_id: z.number(),
    aead_name: z.string(),
    info: z.string(),
    ikmR: z.string(),
    ikmE: z.string(),
    skRm: z.string(),
    pkRm: z.string(),
    skSm: z.string().optional(),
    pkSm: z.string().optional(),
    enc: z.string(),
    encryptions: z.array(z.object({ sequence: z.number(), aad: z.string(), ct: z.string(), pt: z.string() })),
    exports: z.array(z.object({ exporter_context: z.string(), L: z.number(), exported_value: z.string() })),
  }),
);

function applicableVectors() {
  if (!hasVectors) return [];
  const file = join(vectorsDir(), 'hpke', 'rfc9180-x25519-sha256.json');
  return Vectors.parse(JSON.parse(readFileSync(file, 'utf8'))).filter(
    (v) => (v.mode === MODE_BASE || v.mode === MODE_AUTH) && AEADS[v.aead_id] !== undefined,
  );
}

describe.skipIf(!hasVectors)('RFC 9180 vectors', () => {
  const vectors = applicableVectors();

  it('cover two AEADs in mode base and one in mode auth', () => {
    expect(vectors.map((v) => `${v.mode_name} ${v.aead_name}`)).toHaveLength(3);
  });

  it.each(vectors)('match in keys, enc, ciphertexts and exports for $mode_name $aead_name', (v) => {
    const suite: Suite = { kem: 'x25519', aead: AEADS[v.aead_id] ?? 'aes-256-gcm' };
    const pair = deriveKemKeyPair('x25519', fromHex(v.ikmR));
    expect(toHex(pair.secretKey)).toBe(v.skRm);
    expect(toHex(pair.publicKey)).toBe(v.pkRm);
    const auth = v.skSm === undefined ? {} : { auth: fromHex(v.skSm) };
    const authPublicKey = v.pkSm === undefined ? {} : { authPublicKey: fromHex(v.pkSm) };
    const { enc, context } = setupSender(suite, pair.publicKey, fromHex(v.info), {
      ephemeralSeed: fromHex(v.ikmE),
      ...auth,
    });
    expect(toHex(enc)).toBe(v.enc);
    const receiver = setupReceiver(suite, enc, pair.secretKey, fromHex(v.info), authPublicKey);
    const bySequence = new Map(v.encryptions.map((e) => [e.sequence, e]));
    expect(bySequence.has(256)).toBe(true);
    for (let sequence = 0; sequence <= 256; sequence += 1) {
      const expected = bySequence.get(sequence);
      const aad = expected === undefined ? EMPTY : fromHex(expected.aad);
      const sealed = context.seal(aad, expected === undefined ? EMPTY : fromHex(expected.pt));
      if (expected !== undefined) expect(toHex(sealed)).toBe(expected.ct);
      const opened = receiver.open(aad, sealed);
      if (expected !== undefined) expect(toHex(opened)).toBe(expected.pt);
    }
    for (const e of v.exports) {
      expect(toHex(context.export(fromHex(e.exporter_context), e.L))).toBe(e.exported_value);
      expect(toHex(receiver.export(fromHex(e.exporter_context), e.L))).toBe(e.exported_value);
    }
  });
});

describe('interoperation with hpke-js and @hpke/core', () => {
  const aeads = [
    [
      'chacha20-poly1305',
      () =>
        new HpkeJs.CipherSuite({
          kem: HpkeJs.Kem.DhkemX25519HkdfSha256,
          kdf: HpkeJs.Kdf.HkdfSha256,
          aead: HpkeJs.Aead.Chacha20Poly1305,
        }),
    ],
    [
      'aes-256-gcm',
      () =>
        new CipherSuite({ kem: new DhkemX25519HkdfSha256(), kdf: new HkdfSha256(), aead: new Aes256Gcm() }),
    ],
  ] as const;
  const buffer = (bytes: Uint8Array) => Uint8Array.from(bytes).buffer;

  it.each(aeads)('opens our messages there, in modes base and auth with %s', async (aead, make) => {
    const theirs = make();
    const recipient = generateKemKeyPair('x25519');
    const sender = generateKemKeyPair('x25519');
    const recipientKey = await theirs.kem.importKey('raw', buffer(recipient.secretKey), false);
    const senderPublicKey = await theirs.kem.importKey('raw', buffer(sender.publicKey), true);
    for (const auth of [false, true]) {
      const { enc, context } = setupSender(
        { kem: 'x25519', aead },
        recipient.publicKey,
        INFO,
        auth ? { auth: sender.secretKey } : {},
      );
      const opener = await theirs.createRecipientContext({
        recipientKey,
        enc: buffer(enc),
        info: buffer(INFO),
        ...(auth ? { senderPublicKey } : {}),
      });
      for (const text of ['first', 'second']) {
        const opened = await opener.open(buffer(context.seal(utf8('aad'), utf8(text))), buffer(utf8('aad')));
        expect(new TextDecoder().decode(opened)).toBe(text);
      }
      expect(toHex(new Uint8Array(await opener.export(buffer(INFO), 40)))).toBe(
        toHex(context.export(INFO, 40)),
      );
    }
  });

  it.each(aeads)('opens their messages here, in modes base and auth with %s', async (aead, make) => {
    const theirs = make();
    const recipient = generateKemKeyPair('x25519');
    const recipientPublicKey = await theirs.kem.importKey('raw', buffer(recipient.publicKey), true);
    const senderKey = await theirs.kem.generateKeyPair();
    const senderPublic = new Uint8Array(await theirs.kem.serializePublicKey(senderKey.publicKey));
    for (const auth of [false, true]) {
      const sender = await theirs.createSenderContext({
        recipientPublicKey,
        info: buffer(INFO),
        ...(auth ? { senderKey } : {}),
      });
      const receiver = setupReceiver(
        { kem: 'x25519', aead },
        new Uint8Array(sender.enc),
        recipient.secretKey,
        INFO,
        auth ? { authPublicKey: senderPublic } : {},
      );
      for (const text of ['first', 'second']) {
        const sealed = new Uint8Array(await sender.seal(buffer(utf8(text)), buffer(utf8('aad'))));
        expect(new TextDecoder().decode(receiver.open(utf8('aad'), sealed))).toBe(text);
      }
    }
  });

  it('equals @hpke/hybridkem-x-wing 0.7.0 for fixed seeds', () => {
    const seed = Uint8Array.from({ length: 32 }, (_, i) => i);
    const ephemeralSeed = Uint8Array.from({ length: 64 }, (_, i) => 255 - i);
    const pair = deriveKemKeyPair('x-wing', seed);
    const suite: Suite = { kem: 'x-wing', aead: 'chacha20-poly1305' };
    const { enc, context } = setupSender(suite, pair.publicKey, utf8('cocosai x-wing interop'), {
      ephemeralSeed,
    });
    const plaintext = utf8('sealed by another implementation');
    // Printed by that package (ML-KEM of the package mlkem), run apart from this project.
    expect(sha256Text(pair.publicKey)).toBe(
      'sha256:c9a3565ffde4f72b51661be391ee13e46378d7f06dd5c8bf5af9d2cfb5b8336b',
    );
    expect(sha256Text(enc)).toBe('sha256:e39776b54a88012705dc425e0ac37bfb7ccadfbcaaff52d5a766744e2e471bd6');
    expect(toHex(context.seal(utf8('aad'), plaintext))).toBe(
      '1af767a8a6562cfc25041901c1bfb4a7a3c8a9a3750e8912f559bb788206138b4d2fa069fdfc7c9f12f8b08a47e11b98',
    );
    expect(toHex(context.seal(utf8('aad'), plaintext))).toBe(
      '0f03f64cd6846659c02d5ef4b6a5f8d816b0e0e8b9c46d2caf74712ab72867f1e6c47c0b72f2a80f3f29c70cef72770b',
    );
    expect(toHex(context.export(utf8('exporter'), 32))).toBe(
      'c18ee2bcc91e54fcc74127e3515e120cd47c65d99ab4da59bc0f00cfd7fa90c4',
    );
    const receiver = setupReceiver(suite, enc, pair.secretKey, utf8('cocosai x-wing interop'));
    expect(toHex(receiver.export(utf8('exporter'), 32))).toBe(toHex(context.export(utf8('exporter'), 32)));
  });
});

describe('setupSender', () => {
  const suite: Suite = { kem: 'x25519', aead: 'chacha20-poly1305' };

  // RFC 7748 section 6.1 and the list of low-order points of Curve25519.
  it.each([
    ['zero', '00'.repeat(32)],
    ['one', `01${'00'.repeat(31)}`],
    ['a point of order 8', 'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800'],
    ['another point of order 8', '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157'],
    ['p - 1', `ec${'ff'.repeat(30)}7f`],
    ['p', `ed${'ff'.repeat(30)}7f`],
  ])('refuses the low-order X25519 key %s', (_name, hex) => {
    expect(codeOf(() => setupSender(suite, fromHex(hex), INFO))).toBe('CRYPTO_KEY_INVALID');
    const { secretKey } = generateKemKeyPair('x25519');
    expect(codeOf(() => setupReceiver(suite, fromHex(hex), secretKey, INFO))).toBe('CRYPTO_KEY_INVALID');
  });

  it('refuses the all-zero X25519 half of an X-Wing key', () => {
    const key = Uint8Array.from(generateKemKeyPair('x-wing').publicKey);
    key.fill(0, 1184);
    expect(codeOf(() => setupSender({ ...suite, kem: 'x-wing' }, key, INFO))).toBe('CRYPTO_KEY_INVALID');
  });

  it('refuses an X-Wing key whose ML-KEM half is not reduced (FIPS 203 section 7.2)', () => {
    const key = Uint8Array.from(generateKemKeyPair('x-wing').publicKey);
    key.fill(0xff, 0, 1152);
    expect(codeOf(() => setupSender({ ...suite, kem: 'x-wing' }, key, INFO))).toBe('CRYPTO_KEY_INVALID');
  });

  it.each(['x25519', 'x-wing'] as const)('refuses %s keys of the wrong length and names them', (kem) => {
    const pair = generateKemKeyPair(kem);
    const { enc } = setupSender({ ...suite, kem }, pair.publicKey, INFO);
    expect(codeOf(() => setupSender({ ...suite, kem }, pair.publicKey.subarray(1), INFO))).toBe(
      'CRYPTO_KEY_INVALID',
    );
    expect(codeOf(() => setupReceiver({ ...suite, kem }, enc.subarray(1), pair.secretKey, INFO))).toBe(
      'CRYPTO_KEY_INVALID',
    );
    expect(codeOf(() => setupReceiver({ ...suite, kem }, enc, pair.secretKey.subarray(1), INFO))).toBe(
      'CRYPTO_KEY_INVALID',
    );
    expect(codeOf(() => deriveKemKeyPair(kem, new Uint8Array(31)))).toBe('INPUT_INVALID');
  });

  it('refuses mode auth with X-Wing', () => {
    const pair = generateKemKeyPair('x-wing');
    const run = () =>
      setupSender({ ...suite, kem: 'x-wing' }, pair.publicKey, INFO, { auth: pair.secretKey });
    expect(codeOf(run)).toBe('INPUT_INVALID');
  });
});

describe.each(['x25519', 'x-wing'] as const)('a context over %s', (kem) => {
  const suite: Suite = { kem, aead: 'aes-256-gcm' };
  const pair = generateKemKeyPair(kem);

  it.each([
    ['info', (enc: Uint8Array) => setupReceiver(suite, enc, pair.secretKey, utf8('other'))],
    ['recipient', (enc: Uint8Array) => setupReceiver(suite, enc, generateKemKeyPair(kem).secretKey, INFO)],
    [
      'AEAD',
      (enc: Uint8Array) => setupReceiver({ kem, aead: 'chacha20-poly1305' }, enc, pair.secretKey, INFO),
    ],
    ['encapsulated key', (enc: Uint8Array) => setupReceiver(suite, flip(enc, 5), pair.secretKey, INFO)],
  ])('does not open under another %s', (_what, setup) => {
    const { enc, context } = setupSender(suite, pair.publicKey, INFO);
    const sealed = context.seal(EMPTY, utf8('text'));
    expect(codeOf(() => setup(enc).open(EMPTY, sealed))).toBe('CRYPTO_OPEN_FAILED');
  });

  it('does not advance its counter when a message does not open, and refuses a repeated one', () => {
    const { enc, context } = setupSender(suite, pair.publicKey, INFO);
    const receiver = setupReceiver(suite, enc, pair.secretKey, INFO);
    const sealed = context.seal(EMPTY, utf8('text'));
    expect(codeOf(() => receiver.open(EMPTY, flip(sealed)))).toBe('CRYPTO_OPEN_FAILED');
    expect(receiver.sequence).toBe(0);
    expect(toHex(receiver.open(EMPTY, sealed))).toBe(toHex(utf8('text')));
    expect(codeOf(() => receiver.open(EMPTY, sealed))).toBe('CRYPTO_OPEN_FAILED');
  });

  it('stops at the message limit', () => {
    const { enc, context } = setupSender(suite, pair.publicKey, INFO, { messageLimit: 1 });
    const receiver = setupReceiver(suite, enc, pair.secretKey, INFO, { messageLimit: 1 });
    receiver.open(EMPTY, context.seal(EMPTY, EMPTY));
    expect(codeOf(() => context.seal(EMPTY, EMPTY))).toBe('LIMIT_EXCEEDED');
    expect(codeOf(() => receiver.open(EMPTY, new Uint8Array(16)))).toBe('LIMIT_EXCEEDED');
  });

  it('is disabled once its keys are erased', () => {
    const { publicKey, secretKey } = generateKemKeyPair('x25519');
    const { enc, context } = setupSender({ kem: 'x25519', aead: 'aes-256-gcm' }, publicKey, INFO);
    const receiver = setupReceiver({ kem: 'x25519', aead: 'aes-256-gcm' }, enc, secretKey, INFO);
    const sealed = context.seal(INFO, INFO);
    context.erase();
    receiver.erase();
    for (const attempt of [
      () => context.seal(INFO, INFO),
      () => receiver.open(INFO, sealed),
      () => receiver.export(INFO, 32),
    ]) {
      expect(codeOf(attempt)).toBe('INTERNAL');
    }
  });

  it('exports at most 255 blocks', () => {
    const { context } = setupSender(suite, pair.publicKey, INFO);
    expect(context.export(EMPTY, 8160)).toHaveLength(8160);
    expect(codeOf(() => context.export(EMPTY, 8161))).toBe('INPUT_INVALID');
    expect(codeOf(() => context.export(EMPTY, -1))).toBe('INPUT_INVALID');
  });
});

describe('mode auth', () => {
  it('does not open for another sender', () => {
    const suite: Suite = { kem: 'x25519', aead: 'aes-256-gcm' };
    const [recipient, sender, other] = [1, 2, 3].map(() => generateKemKeyPair('x25519'));
    if (!recipient || !sender || !other) return expect.fail();
    const { enc, context } = setupSender(suite, recipient.publicKey, INFO, { auth: sender.secretKey });
    const sealed = context.seal(EMPTY, EMPTY);
    const open = (authPublicKey: Uint8Array) =>
      setupReceiver(suite, enc, recipient.secretKey, INFO, { authPublicKey }).open(EMPTY, sealed);
    expect(open(sender.publicKey)).toHaveLength(0);
    expect(codeOf(() => open(other.publicKey))).toBe('CRYPTO_OPEN_FAILED');
    expect(codeOf(() => setupReceiver(suite, enc, recipient.secretKey, INFO).open(EMPTY, sealed))).toBe(
      'CRYPTO_OPEN_FAILED',
    );
  });
});

describe('isSuite', () => {
  it('accepts only names of the table', () => {
    expect(isSuite({ kem: 'x-wing', aead: 'aes-256-gcm' })).toBe(true);
    expect(isSuite({ kem: 'p-256', aead: 'aes-256-gcm' })).toBe(false);
    expect(isSuite({ kem: 'x-wing', aead: 'toString' })).toBe(false);
  });
});

describe('kemOf', () => {
  it('has the lengths and numbers of the registry', () => {
    expect(kemOf('x25519')).toMatchObject({ id: 0x20, publicKeyBytes: 32, secretKeyBytes: 32, encBytes: 32 });
    expect(kemOf('x-wing')).toMatchObject({ id: 0x647a, publicKeyBytes: 1216, encBytes: 1120 });
  });
});
