import { describe, expect, it } from 'vitest';
import { ByteReader } from '../../../src/crypto/byte-reader.ts';
import { concat, toHex, u32be, utf8 } from '../../../src/crypto/bytes.ts';
import { sha256Text } from '../../../src/crypto/digest.ts';
import { encodeKemKey, encodeSigningKey, generateParticipantKeys } from '../../../src/crypto/keys.ts';
import { generateSigningKeyPair, sign } from '../../../src/crypto/signing.ts';
import { type Receipt, signReceipt, verifyReceipt } from '../../../src/protocol/receipt.ts';
import {
  generateContentKey,
  openContentKey,
  resultSegments,
  sealContentKey,
} from '../../../src/protocol/result.ts';
import {
  encodeResultHeader,
  openResult,
  type ResultHeader,
  readResultHeader,
  verifyResultHeader,
  writeResultFile,
} from '../../../src/protocol/result-file.ts';
import { sealStream } from '../../../src/protocol/segment-stream.ts';
import { chunked, codeOf, codeOfAsync, collect, flip } from '../crypto/support.ts';

const SEGMENT = 65_536;
const agent = generateSigningKeyPair();
const consumer = generateParticipantKeys();
const consumerSigning = encodeSigningKey(consumer.signing.publicKey);
const consumerKem = encodeKemKey(consumer.kem);
const manifestDigest = sha256Text(utf8('manifest'));
const plaintext = Uint8Array.from({ length: SEGMENT + 1000 }, (_, i) => i & 0xff);

function receiptOf(change: Partial<Receipt> = {}): Receipt {
  return {
    version: 1,
    computationId: 'c1',
    manifestDigest,
    algorithmDigest: sha256Text(utf8('algorithm')),
    datasets: [{ name: 'iris.csv', digest: sha256Text(utf8('data')) }],
    resultDigest: sha256Text(plaintext),
    resultSize: plaintext.length,
    evidenceDigest: sha256Text(utf8('evidence')),
    platform: 'emulated' as const,
    runtime: 'python 3.11',
    exitCode: 0,
    startedAt: '2026-01-02T03:04:05Z',
    endedAt: '2026-01-02T03:05:05.123Z',
    ...change,
  };
}

describe('signReceipt', () => {
  it('signs canonical JSON that verifyReceipt returns', () => {
    const { bytes, signature } = signReceipt(receiptOf(), agent.secretKey);
    expect(new TextDecoder().decode(bytes)).toMatch(
      /^\{"algorithmDigest":"sha256:[0-9a-f]{64}","computationId":"c1"/,
    );
    expect(verifyReceipt(bytes, signature, agent.publicKey)).toEqual(receiptOf());
  });

  it.each<[string, object]>([
    ['another version', { version: 2 }],
    ['a broken digest', { resultDigest: 'sha256:0' }],
    ['an unknown field', { note: 'x' }],
    ['a time that is not ISO 8601', { endedAt: 'yesterday' }],
    ['a negative size', { resultSize: -1 }],
  ])('refuses %s', (_what, change) => {
    expect(codeOf(() => signReceipt({ ...receiptOf(), ...change } as Receipt, agent.secretKey))).toBe(
      'RESULT_INVALID',
    );
  });
});

describe('verifyReceipt', () => {
  const { bytes, signature } = signReceipt(receiptOf(), agent.secretKey);
  const prefix = concat(utf8('cocosai receipt v1'), Uint8Array.of(0));
  const signed = (text: string) => [utf8(text), sign(concat(prefix, utf8(text)), agent.secretKey)] as const;
  const check = (b: Uint8Array, s: Uint8Array, key = agent.publicKey) =>
    codeOf(() => verifyReceipt(b, s, key));

  it('refuses an altered receipt, an altered signature and another key', () => {
    expect(check(flip(bytes, 30), signature)).toBe('RESULT_INVALID');
    expect(check(bytes, flip(signature))).toBe('RESULT_INVALID');
    expect(check(bytes, signature, generateSigningKeyPair().publicKey)).toBe('RESULT_INVALID');
  });

  it('refuses a receipt or signature with any single bit flipped', () => {
    const accepted: string[] = [];
    for (const [what, original] of Object.entries({ receipt: bytes, signature })) {
      for (let bit = 0; bit < original.length * 8; bit++) {
        const altered = original.slice();
        altered[bit >> 3] = (altered[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        const outcome = what === 'receipt' ? check(altered, signature) : check(bytes, altered);
        if (outcome !== 'RESULT_INVALID') accepted.push(`${what} bit ${bit}`);
      }
    }
    expect(accepted).toEqual([]);
  });

  it('refuses a signature made for another purpose', () => {
    expect(check(bytes, sign(bytes, agent.secretKey))).toBe('RESULT_INVALID');
  });

  it.each([
    ['JSON that is not canonical', JSON.stringify(receiptOf(), null, 1)],
    ['text that is not JSON', 'x'],
    ['another document', '{"version":1}'],
    ['a document without end', `"${'x'.repeat(70_000)}"`],
  ])('refuses %s despite a valid signature', (_what, text) => {
    expect(check(...signed(text))).toBe('RESULT_INVALID');
  });
});

describe('sealContentKey', () => {
  const contentKey = generateContentKey();

  it.each(['x-wing', 'x25519'] as const)('is opened by the consumer with %s', (kem) => {
    const keys = generateParticipantKeys(kem);
    const signing = encodeSigningKey(keys.signing.publicKey);
    const sealed = sealContentKey(encodeKemKey(keys.kem), signing, manifestDigest, contentKey);
    expect(sealed.kem).toBe(kem);
    expect(sealed.ciphertext).toHaveLength(48);
    expect(toHex(openContentKey(sealed, keys.kem.secretKey, signing, manifestDigest))).toBe(
      toHex(contentKey),
    );
  });

  const sealed = sealContentKey(consumerKem, consumerSigning, manifestDigest, contentKey);
  const secret = consumer.kem.secretKey;
  const other = generateParticipantKeys();
  it.each([
    [
      'another consumer key',
      () => openContentKey(sealed, other.kem.secretKey, consumerSigning, manifestDigest),
    ],
    [
      'another signing key',
      () => openContentKey(sealed, secret, encodeSigningKey(other.signing.publicKey), manifestDigest),
    ],
    ['another manifest', () => openContentKey(sealed, secret, consumerSigning, sha256Text(utf8('x')))],
    [
      'an altered ciphertext',
      () =>
        openContentKey(
          { ...sealed, ciphertext: flip(sealed.ciphertext) },
          secret,
          consumerSigning,
          manifestDigest,
        ),
    ],
    [
      'an altered encapsulated key',
      () => openContentKey({ ...sealed, enc: flip(sealed.enc) }, secret, consumerSigning, manifestDigest),
    ],
  ])('does not open with %s', (_what, run) => {
    expect(codeOf(run)).toBe('CRYPTO_OPEN_FAILED');
  });

  it('refuses malformed keys', () => {
    expect(codeOf(() => sealContentKey('x25519:AAAA', consumerSigning, manifestDigest, contentKey))).toBe(
      'CRYPTO_KEY_INVALID',
    );
    expect(
      codeOf(() => openContentKey({ ...sealed, kem: 'x25519' }, secret, consumerSigning, manifestDigest)),
    ).toBe('CRYPTO_KEY_INVALID');
    expect(
      codeOf(() => sealContentKey(consumerKem, consumerSigning, manifestDigest, new Uint8Array(16))),
    ).toBe('INPUT_INVALID');
  });
});

async function resultFile(
  options: { receipt?: Partial<Receipt>; content?: Uint8Array; header?: Partial<ResultHeader> } = {},
) {
  const content = options.content ?? plaintext;
  const contentKey = generateContentKey();
  const { bytes, signature } = signReceipt(receiptOf(options.receipt), agent.secretKey);
  const header: ResultHeader = {
    version: 1,
    manifestDigest,
    computationId: 'c1',
    aead: 'aes-256-gcm',
    segmentSize: SEGMENT,
    sealedKey: sealContentKey(consumerKem, consumerSigning, manifestDigest, contentKey),
    receipt: bytes,
    signature,
    agentSigningKey: encodeSigningKey(agent.publicKey),
    size: plaintext.length,
    ...options.header,
  };
  const segments = sealStream(chunked(content, 9999), resultSegments({ ...header, contentKey }));
  return { header, bytes: concat(...(await collect(writeResultFile(header, segments)))) };
}

async function read(file: Uint8Array, keys = consumer): Promise<Uint8Array> {
  const reader = new ByteReader(chunked(file, 7777));
  const header = await readResultHeader(reader);
  const who = { kemSecretKey: keys.kem.secretKey, signing: encodeSigningKey(keys.signing.publicKey) };
  return concat(...(await collect(openResult(header, reader, who))));
}

describe('result file', () => {
  it('starts with the magic and opens to the plaintext', async () => {
    const { header, bytes } = await resultFile();
    expect(new TextDecoder().decode(bytes.subarray(0, 8))).toBe('COCOSRES');
    expect(await readResultHeader(new ByteReader(chunked(bytes, 100)))).toEqual(header);
    expect(verifyResultHeader(header)).toEqual(receiptOf());
    expect(toHex(await read(bytes))).toBe(toHex(plaintext));
  });

  it('does not open for another consumer', async () => {
    const { bytes } = await resultFile();
    expect(await codeOfAsync(() => read(bytes, generateParticipantKeys()))).toBe('CRYPTO_OPEN_FAILED');
  });

  it.each<[string, (file: Uint8Array) => Uint8Array, string]>([
    ['a foreign file', (f) => flip(f), 'RESULT_INVALID'],
    ['an altered segment', (f) => flip(f, -1), 'CRYPTO_OPEN_FAILED'],
    ['a file cut inside a segment', (f) => f.subarray(0, -10), 'STREAM_TRUNCATED'],
    ['a file cut between segments', (f) => f.subarray(0, -(1000 + 16 + 4)), 'STREAM_TRUNCATED'],
    ['a file cut inside the header', (f) => f.subarray(0, 200), 'STREAM_TRUNCATED'],
    ['an empty file', () => new Uint8Array(0), 'STREAM_TRUNCATED'],
    ['bytes after the last segment', (f) => concat(f, Uint8Array.of(0)), 'STREAM_TRAILING'],
    ['a header without bound', (f) => concat(f.subarray(0, 8), u32be(0x7fffffff)), 'RESULT_INVALID'],
    ['a header that is not JSON', (f) => concat(f.subarray(0, 8), u32be(1), utf8('x')), 'RESULT_INVALID'],
    ['a header of another form', (f) => concat(f.subarray(0, 8), u32be(2), utf8('{}')), 'RESULT_INVALID'],
  ])('refuses %s', async (_what, change, code) => {
    const { bytes } = await resultFile();
    expect(await codeOfAsync(() => read(change(bytes)))).toBe(code);
  });

  it.each<[string, Parameters<typeof resultFile>[0]]>([
    ['another computation', { receipt: { computationId: 'c2' } }],
    ['another manifest', { receipt: { manifestDigest: sha256Text(utf8('x')) } }],
    ['another size', { receipt: { resultSize: 5 } }],
    ['another agent', { header: { agentSigningKey: consumerSigning } }],
    ['no agent', { header: { agentSigningKey: 'ed25519:AA' } }],
    ['another result', { receipt: { resultDigest: sha256Text(utf8('x')) } }],
  ])('refuses a receipt of %s', async (_what, options) => {
    const { bytes } = await resultFile(options);
    expect(await codeOfAsync(() => read(bytes))).toBe('RESULT_INVALID');
  });

  it.each([
    ['shorter', plaintext.subarray(1)],
    ['longer', concat(plaintext, Uint8Array.of(1))],
  ])('refuses a content that is %s than the receipt says', async (_what, content) => {
    const { bytes } = await resultFile({ content });
    expect(await codeOfAsync(() => read(bytes))).toBe('RESULT_INVALID');
  });
});

describe('encodeResultHeader', () => {
  it.each<[string, Partial<ResultHeader>]>([
    ['a segment size out of bounds', { segmentSize: 10 }],
    ['a broken digest', { manifestDigest: 'x' }],
    ['a receipt without bound', { receipt: new Uint8Array(200_000) }],
  ])('refuses %s', async (_what, change) => {
    const { header } = await resultFile();
    expect(codeOf(() => encodeResultHeader({ ...header, ...change }))).toBe('RESULT_INVALID');
  });
});
