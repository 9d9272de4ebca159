import { scrypt } from '@noble/hashes/scrypt.js';
import { describe, expect, it } from 'vitest';
import { aeadOpen } from '../../../src/crypto/aead.ts';
import { concat, fromBase64Url, fromHex, toHex, utf8 } from '../../../src/crypto/bytes.ts';
import {
  decodePrivateKeyFile,
  decodePublicKeyFile,
  encodePrivateKeyFile,
  encodePublicKeyFile,
  isPrivateKeyFileSealed,
} from '../../../src/crypto/key-file.ts';
import {
  encodeKemKey,
  encodeSigningKey,
  generateParticipantKeys,
  parseKemKey,
  parseSigningKey,
} from '../../../src/crypto/keys.ts';
import { sign, signingPublicKey, verify } from '../../../src/crypto/signing.ts';
import { KemKeyText, SigningKeyText } from '../../../src/machines/manifest.ts';
import { codeOf, flip } from './support.ts';

const keys = generateParticipantKeys();
const classical = generateParticipantKeys('x25519');

describe('sign', () => {
  // RFC 8032 section 7.1, test 2.
  const secret = fromHex('4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb');
  const publicKey = '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c';
  const signature =
    '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da' +
    '085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00';

  it('produces the key and signature of RFC 8032', () => {
    expect(toHex(signingPublicKey(secret))).toBe(publicKey);
    expect(toHex(sign(Uint8Array.of(0x72), secret))).toBe(signature);
    expect(verify(fromHex(signature), Uint8Array.of(0x72), fromHex(publicKey))).toBe(true);
  });

  it.each([
    ['another message', [fromHex(signature), Uint8Array.of(0x73), fromHex(publicKey)]],
    ['an altered signature', [flip(fromHex(signature), 40), Uint8Array.of(0x72), fromHex(publicKey)]],
    ['another key', [fromHex(signature), Uint8Array.of(0x72), keys.signing.publicKey]],
    ['a short signature', [fromHex(signature).subarray(1), Uint8Array.of(0x72), fromHex(publicKey)]],
    ['a short key', [fromHex(signature), Uint8Array.of(0x72), fromHex(publicKey).subarray(1)]],
    // The identity point signs every message with R = identity and S = 0 under a lax verifier.
    [
      'a key of low order',
      [fromHex(`01${'00'.repeat(63)}`), Uint8Array.of(0x72), fromHex(`01${'00'.repeat(31)}`)],
    ],
  ] as const)('is not verified with %s', (_what, [sig, message, key]) => {
    expect(verify(sig, message, key)).toBe(false);
  });
});

describe('text forms of public keys', () => {
  it('decode to the same key and are valid in a manifest', () => {
    const signing = encodeSigningKey(keys.signing.publicKey);
    expect(SigningKeyText.parse(signing)).toBe(signing);
    expect(toHex(parseSigningKey(signing))).toBe(toHex(keys.signing.publicKey));
    for (const { kem } of [keys, classical]) {
      const text = encodeKemKey(kem);
      expect(KemKeyText.parse(text)).toBe(text);
      expect(parseKemKey(text)).toEqual({ kem: kem.kem, publicKey: kem.publicKey });
    }
  });

  const kemText = encodeKemKey(classical.kem);
  it.each([
    ['no scheme', () => parseSigningKey('AAAA')],
    ['another scheme', () => parseSigningKey(kemText)],
    ['a signing key as KEM key', () => parseKemKey(encodeSigningKey(keys.signing.publicKey))],
    ['a short key', () => parseSigningKey(`ed25519:${'A'.repeat(42)}`)],
    ['a key of another KEM', () => parseKemKey(kemText.replace('x25519', 'x-wing'))],
    ['base64url that is not canonical', () => parseSigningKey(`ed25519:${'A'.repeat(42)}B`)],
    ['padding', () => parseKemKey(`${kemText}=`)],
  ])('refuse %s', (_what, run) => {
    expect(codeOf(run)).toBe('CRYPTO_KEY_INVALID');
  });
});

describe('a private key file', () => {
  const plain = encodePrivateKeyFile({ name: 'alice', created: '2026-01-02T03:04:05Z', keys });
  const sealed = encodePrivateKeyFile({ name: 'alice', keys }, 'correct horse');

  it('decodes to the same keys, with and without a passphrase', () => {
    const expected = { name: 'alice', created: '2026-01-02T03:04:05Z', keys };
    expect(decodePrivateKeyFile(plain)).toEqual(expected);
    expect(decodePrivateKeyFile(sealed, 'correct horse')).toEqual({ ...expected, created: undefined });
    expect(isPrivateKeyFileSealed(plain)).toBe(false);
    expect(isPrivateKeyFileSealed(sealed)).toBe(true);
  });

  it('contains no plaintext secret when sealed and opens with the documented scrypt', () => {
    const secret = Buffer.from(keys.signing.secretKey).toString('base64url');
    expect(plain).toContain(secret);
    expect(sealed).not.toContain(secret);
    const file = JSON.parse(sealed);
    const { n, r, p, salt, nonce, ciphertext } = file.sealed;
    const key = scrypt(utf8('correct horse'), fromBase64Url(salt), { N: n, r, p, dkLen: 32 });
    const bound = `{"kind":"cocosai private key","name":"alice","public":{"kem":"${file.public.kem}","signing":"${file.public.signing}"},"version":1}`;
    const opened = aeadOpen(
      'chacha20-poly1305',
      key,
      fromBase64Url(nonce),
      utf8(bound),
      fromBase64Url(ciphertext),
    );
    expect(toHex(opened)).toBe(toHex(concat(keys.signing.secretKey, keys.kem.secretKey)));
  });

  it.each([
    ['a wrong passphrase', sealed, 'Correct horse'],
    ['no passphrase', sealed, undefined],
    ['a passphrase if it is not sealed', plain, 'correct horse'],
    ['another name in the file', sealed.replace('alice', 'mallory'), 'correct horse'],
  ])('does not open with %s', (_what, text, passphrase) => {
    expect(codeOf(() => decodePrivateKeyFile(text, passphrase))).toBe('KEY_PASSPHRASE');
  });

  it('cannot be sealed under the empty passphrase', () => {
    expect(codeOf(() => encodePrivateKeyFile({ name: 'alice', keys }, ''))).toBe('KEY_PASSPHRASE');
  });

  it('accepts a passphrase in either Unicode composition', () => {
    const text = encodePrivateKeyFile({ name: 'a', keys: classical }, 'caf\u00e9');
    expect(decodePrivateKeyFile(text, 'cafe\u0301').keys).toEqual(classical);
  });

  const edit = (text: string, change: (file: Record<string, unknown>) => void) => {
    const file = JSON.parse(text);
    change(file);
    return JSON.stringify(file);
  };
  it.each([
    ['text that is not JSON', 'x'],
    ['a JSON list', '[]'],
    ['a public key file', encodePublicKeyFile('alice', keys)],
    ['another version', plain.replace('"version": 1', '"version": 2')],
    ['an unknown field', edit(plain, (f) => Object.assign(f, { extra: 1 }))],
    ['no secret at all', edit(plain, (f) => Reflect.deleteProperty(f, 'secret'))],
    ['both forms of secret', edit(plain, (f) => Object.assign(f, { sealed: JSON.parse(sealed).sealed }))],
    ['a scrypt cost without bound', sealed.replace('"n": 131072', '"n": 1073741824')],
    [
      'public keys of someone else',
      edit(plain, (f) =>
        Object.assign(f, {
          public: JSON.parse(encodePrivateKeyFile({ name: 'b', keys: generateParticipantKeys() })).public,
        }),
      ),
    ],
    ['a malformed public key', plain.replace('ed25519:', 'ed25519:_')],
    [
      'a truncated secret',
      edit(plain, (f) => Object.assign(f, { secret: { signing: 'AAAA', kem: 'AAAA' } })),
    ],
  ])('is refused: %s', (_what, text) => {
    // A passphrase for a file that is not sealed would be refused first.
    const passphrase = text.includes('"sealed"') ? 'correct horse' : undefined;
    expect(codeOf(() => decodePrivateKeyFile(text, passphrase))).toBe('KEY_FILE_INVALID');
  });

  it('names the malformed field without its value', () => {
    const text = edit(plain, (f) => Object.assign(f, { secret: { signing: 5, kem: 'hunter2' } }));
    expect(() => decodePrivateKeyFile(text)).toThrow(/secret\.signing/);
    expect(() => decodePrivateKeyFile(text)).not.toThrow(/hunter2/);
  });
});

describe('a public key file', () => {
  it('contains the text forms of the keys', () => {
    expect(decodePublicKeyFile(encodePublicKeyFile('bob', classical))).toEqual({
      name: 'bob',
      signing: encodeSigningKey(classical.signing.publicKey),
      kem: encodeKemKey(classical.kem),
    });
  });

  const text = encodePublicKeyFile('bob', classical);
  it.each([
    ['a private key file', encodePrivateKeyFile({ name: 'bob', keys: classical })],
    ['a malformed signing key', text.replace('ed25519:', 'ed25518:')],
    ['a malformed KEM key', text.replace('x25519:', 'x-wing:')],
    ['text that is not JSON', `${text}}`],
  ])('is refused: %s', (_what, bad) => {
    expect(codeOf(() => decodePublicKeyFile(bad))).toBe('KEY_FILE_INVALID');
  });
});
