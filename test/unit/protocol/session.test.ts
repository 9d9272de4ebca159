import { describe, expect, it } from 'vitest';
import { toHex, utf8 } from '../../../src/crypto/bytes.ts';
import { sha256Text } from '../../../src/crypto/digest.ts';
import { generateKemKeyPair, type Suite } from '../../../src/crypto/hpke.ts';
import { generateSigningKeyPair, sign } from '../../../src/crypto/signing.ts';
import { acceptSession, openSession, type SessionOpening } from '../../../src/protocol/session.ts';
import { codeOf, flip } from '../crypto/support.ts';

const SUITES: readonly Suite[] = [
  { kem: 'x-wing', aead: 'chacha20-poly1305' },
  { kem: 'x25519', aead: 'aes-256-gcm' },
];
const agent = { 'x-wing': generateKemKeyPair('x-wing'), x25519: generateKemKeyPair('x25519') };
const agentKemSecretKeys = { 'x-wing': agent['x-wing'].secretKey, x25519: agent.x25519.secretKey };
const alice = generateSigningKeyPair();
const mallory = generateSigningKeyPair();

function open(suite: Suite = SUITES[0] as Suite) {
  return openSession({
    agentKemPublicKey: agent[suite.kem].publicKey,
    suite,
    signingSecretKey: alice.secretKey,
    role: 'dataset',
    manifestDigest: sha256Text(utf8('manifest')),
    evidenceDigest: sha256Text(utf8('evidence')),
    nonce: new Uint8Array(32).fill(9),
  });
}

function connect(suite?: Suite) {
  const { opening, signature, channel } = open(suite);
  return { participant: channel, agent: acceptSession({ opening, signature, agentKemSecretKeys }).channel };
}

describe('openSession', () => {
  it('creates a new session id each time', () => {
    expect(toHex(open().opening.sessionId)).not.toBe(toHex(open().opening.sessionId));
    expect(open().opening.sessionId).toHaveLength(16);
  });

  it('states the signer, role, digests and nonce', () => {
    expect(open().opening).toMatchObject({ version: 1, role: 'dataset', participant: alice.publicKey });
  });
});

describe('acceptSession', () => {
  it.each(SUITES)('derives the same channel at both ends over $kem and $aead', (suite) => {
    const ends = connect(suite);
    const there = ends.participant.seal(utf8('request'));
    expect(toHex(ends.agent.open(there.sequence, there.ciphertext))).toBe(toHex(utf8('request')));
    const back = ends.agent.seal(utf8('reply'));
    expect(toHex(ends.participant.open(back.sequence, back.ciphertext))).toBe(toHex(utf8('reply')));
  });

  const altered: [string, (o: SessionOpening) => Partial<SessionOpening>][] = [
    ['session id', (o) => ({ sessionId: flip(o.sessionId) })],
    ['KEM', (o) => ({ suite: { ...o.suite, kem: 'x25519' }, enc: agent.x25519.publicKey })],
    ['AEAD', (o) => ({ suite: { ...o.suite, aead: 'aes-256-gcm' } })],
    ['encapsulated key', (o) => ({ enc: flip(o.enc, 700) })],
    ['role', () => ({ role: 'controller' })],
    ['participant', () => ({ participant: mallory.publicKey })],
    ['manifest digest', () => ({ manifestDigest: sha256Text(utf8('other')) })],
    ['evidence digest', () => ({ evidenceDigest: sha256Text(utf8('other')) })],
    ['nonce', (o) => ({ nonce: flip(o.nonce) })],
  ];
  it.each(altered)('refuses an opening with another %s', (_what, change) => {
    const { opening, signature } = open();
    const forged = { ...opening, ...change(opening) };
    expect(codeOf(() => acceptSession({ opening: forged, signature, agentKemSecretKeys }))).toBe(
      'SESSION_SIGNATURE',
    );
  });

  it.each([
    ['altered', (signature: Uint8Array) => flip(signature)],
    ['empty', () => new Uint8Array(0)],
    ['of something else', () => sign(utf8('other'), alice.secretKey)],
  ])('refuses a signature that is %s', (_what, change) => {
    const { opening, signature } = open();
    const forged = change(signature);
    expect(codeOf(() => acceptSession({ opening, signature: forged, agentKemSecretKeys }))).toBe(
      'SESSION_SIGNATURE',
    );
  });

  const malformed: [string, Partial<Record<keyof SessionOpening, unknown>>, string][] = [
    ['version', { version: 2 }, 'INPUT_INVALID'],
    ['session id', { sessionId: new Uint8Array(15) }, 'INPUT_INVALID'],
    ['suite', { suite: { kem: 'p-256', aead: 'aes-256-gcm' } }, 'INPUT_INVALID'],
    ['role', { role: 'owner' }, 'INPUT_INVALID'],
    ['participant', { participant: new Uint8Array(33) }, 'INPUT_INVALID'],
    ['manifest digest', { manifestDigest: 'sha256:00' }, 'INPUT_INVALID'],
    ['evidence digest', { evidenceDigest: '' }, 'INPUT_INVALID'],
    ['nonce', { nonce: new Uint8Array(31) }, 'INPUT_INVALID'],
    ['encapsulated key', { enc: new Uint8Array(32) }, 'CRYPTO_KEY_INVALID'],
  ];
  it.each(malformed)('refuses a malformed %s', (_what, change, code) => {
    const { opening, signature } = open();
    const bad = { ...opening, ...change } as SessionOpening;
    expect(codeOf(() => acceptSession({ opening: bad, signature, agentKemSecretKeys }))).toBe(code);
  });

  it('refuses a KEM without a key', () => {
    const { opening, signature } = open(SUITES[0]);
    const run = () =>
      acceptSession({ opening, signature, agentKemSecretKeys: { x25519: agent.x25519.secretKey } });
    expect(codeOf(run)).toBe('CRYPTO_KEY_INVALID');
  });

  it('derives other keys in another enclave despite a valid signature', () => {
    const { opening, signature, channel } = open();
    const other = { 'x-wing': generateKemKeyPair('x-wing').secretKey };
    const end = acceptSession({ opening, signature, agentKemSecretKeys: other }).channel;
    const message = channel.seal(utf8('secret'));
    expect(codeOf(() => end.open(message.sequence, message.ciphertext))).toBe('CRYPTO_OPEN_FAILED');
  });

  it('derives another channel for a thief who signs a stolen encapsulated key', () => {
    const { opening, channel } = open();
    // The thief re-signs through an opening of his own, since the transcript is not exported.
    const own = openSession({
      agentKemPublicKey: agent['x-wing'].publicKey,
      suite: opening.suite,
      signingSecretKey: mallory.secretKey,
      role: 'dataset',
      manifestDigest: opening.manifestDigest,
      evidenceDigest: opening.evidenceDigest,
      nonce: opening.nonce,
    });
    const stolen = { ...own.opening, enc: opening.enc };
    expect(
      codeOf(() => acceptSession({ opening: stolen, signature: own.signature, agentKemSecretKeys })),
    ).toBe('SESSION_SIGNATURE');
    const end = acceptSession({ ...own, agentKemSecretKeys }).channel;
    const message = channel.seal(utf8('secret'));
    expect(codeOf(() => end.open(message.sequence, message.ciphertext))).toBe('CRYPTO_OPEN_FAILED');
  });
});

describe('SealedChannel', () => {
  it('accepts increasing numbers with gaps and refuses repeated and old ones', () => {
    const { participant, agent: end } = connect();
    const [a, b, c] = ['a', 'b', 'c'].map((text) => participant.seal(utf8(text)));
    if (!a || !b || !c) return expect.fail();
    end.open(b.sequence, b.ciphertext);
    expect(codeOf(() => end.open(b.sequence, b.ciphertext))).toBe('SESSION_REPLAYED');
    expect(codeOf(() => end.open(a.sequence, a.ciphertext))).toBe('SESSION_REPLAYED');
    expect(toHex(end.open(c.sequence, c.ciphertext))).toBe(toHex(utf8('c')));
  });

  it('refuses an altered message, number or associated data, and then accepts the right one', () => {
    const { participant, agent: end } = connect();
    const { sequence, ciphertext } = participant.seal(utf8('run'), utf8('Run'));
    for (const attempt of [
      () => end.open(sequence, flip(ciphertext), utf8('Run')),
      () => end.open(sequence + 1, ciphertext, utf8('Run')),
      () => end.open(sequence, ciphertext, utf8('Stop')),
      () => end.open(sequence, ciphertext),
    ]) {
      expect(codeOf(attempt)).toBe('CRYPTO_OPEN_FAILED');
    }
    expect(toHex(end.open(sequence, ciphertext, utf8('Run')))).toBe(toHex(utf8('run')));
  });

  it.each([-1, 0.5, Number.NaN, 2 ** 32, Number.MAX_VALUE])('refuses the sequence number %d', (sequence) => {
    expect(codeOf(() => connect().agent.open(sequence, new Uint8Array(16)))).toBe('INPUT_INVALID');
  });

  it('does not open its own reflected messages', () => {
    const { participant } = connect();
    const { sequence, ciphertext } = participant.seal(utf8('x'));
    expect(codeOf(() => participant.open(sequence, ciphertext))).toBe('CRYPTO_OPEN_FAILED');
  });

  it('does not open messages of another session', () => {
    const { sequence, ciphertext } = connect().participant.seal(utf8('x'));
    expect(codeOf(() => connect().agent.open(sequence, ciphertext))).toBe('CRYPTO_OPEN_FAILED');
  });

  it('derives equal exports at both ends and different ones for other labels', () => {
    const { participant, agent: end } = connect();
    expect(toHex(participant.exportKey('transfer 1'))).toBe(toHex(end.exportKey('transfer 1')));
    expect(participant.exportKey('transfer 1')).toHaveLength(32);
    expect(toHex(participant.exportKey('transfer 1'))).not.toBe(toHex(participant.exportKey('transfer 2')));
  });

  it('creates independent sub-channels, each label once', () => {
    const { participant, agent: end } = connect();
    const [there, here] = [end.subchannel('logs'), participant.subchannel('logs')];
    const line = there.seal(utf8('line'));
    expect(codeOf(() => participant.open(line.sequence, line.ciphertext))).toBe('CRYPTO_OPEN_FAILED');
    expect(codeOf(() => participant.subchannel('events').open(line.sequence, line.ciphertext))).toBe(
      'CRYPTO_OPEN_FAILED',
    );
    expect(toHex(here.open(line.sequence, line.ciphertext))).toBe(toHex(utf8('line')));
    expect(codeOf(() => end.subchannel('logs'))).toBe('INPUT_INVALID');
  });

  it('is disabled once its keys are erased, while its sub-channels continue', () => {
    const { participant, agent: end } = connect();
    const { sequence, ciphertext } = participant.seal(utf8('x'));
    const [there, here] = [end.subchannel('logs'), participant.subchannel('logs')];
    end.erase();
    for (const attempt of [
      () => end.seal(utf8('x')),
      () => end.open(sequence, ciphertext),
      () => end.exportKey('transfer 1'),
      () => end.subchannel('more'),
    ]) {
      expect(codeOf(attempt)).toBe('SESSION_NOT_FOUND');
    }
    const line = there.seal(utf8('line'));
    expect(toHex(here.open(line.sequence, line.ciphertext))).toBe(toHex(utf8('line')));
  });

  it('limits the number of its sub-channels', () => {
    const { agent: end } = connect();
    for (let i = 0; i < 4096; i += 1) end.subchannel(String(i));
    expect(codeOf(() => end.subchannel('one more'))).toBe('LIMIT_EXCEEDED');
  });
});
