import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import net from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { AgentClient, type AgentSession } from '../../src/cli/transfer/agent-client.ts';
import { readTrust } from '../../src/cli/trust/trust.ts';
import { openTrustedSession } from '../../src/cli/trust/trusted-session.ts';
import { verifyEnclave } from '../../src/cli/trust/verifier.ts';
import { ByteReader } from '../../src/crypto/byte-reader.ts';
import { concat, u32be } from '../../src/crypto/bytes.ts';
import { canonicalDigest, sha256Text } from '../../src/crypto/digest.ts';
import { decodePrivateKeyFile } from '../../src/crypto/key-file.ts';
import type { ParticipantKeys } from '../../src/crypto/keys.ts';
import { CocosError } from '../../src/errors.ts';
import { Manifest } from '../../src/machines/manifest.ts';
import { frameSegment } from '../../src/protocol/segment-frames.ts';
import { MIN_SEGMENT_SIZE, type SealedSegment, SegmentSealer } from '../../src/protocol/segments.ts';
import { openSession, type SessionOpening, type SessionRole } from '../../src/protocol/session.ts';
import { uploadSegments } from '../../src/protocol/upload.ts';
import { answerLength, decodeAnswer, encodePreface } from '../../src/rpc/bulk.ts';
import { ComputationStatus, TransferFinished, TransferOpened } from '../../src/rpc/sealed.ts';
import { LOW_ORDER_POINTS, signOpening } from '../fakes/opening.ts';
import {
  makeParties,
  type Parties,
  PROCESS_REFERENCE,
  type System,
  show,
  startSystem,
  succeeded,
} from '../harness/system.ts';

/**
 * What a participant, or whoever has found a way to the agent, may try with a program of his own: each attempt is
 * refused by its code, moves nothing, and leaves the agent serving the honest.
 */

const SIZE = 3 * MIN_SEGMENT_SIZE;
const CONTENT = randomBytes(SIZE / 2).toString('hex');
const content = Buffer.from(CONTENT);

describe('a dishonest participant', () => {
  let system: System;
  let parties: Parties;
  let manifest: Manifest;
  let socket: string;
  let agent: AgentClient;
  let sessions: AgentSession[];

  beforeAll(async () => {
    system = await startSystem({ COCOSAI_MODE: 'process' });
    parties = await makeParties(system, {
      algorithm: 'pass\n',
      datasets: { one: CONTENT },
      reference: PROCESS_REFERENCE,
    });
    manifest = Manifest.parse(JSON.parse(await readFile(parties.manifest, 'utf8')));
    succeeded(await system.cli('enclave', 'create', 'job', '--manifest', parties.manifest));
    const { context } = await show(system, 'job');
    socket = String(context['relayAddress']).replace(/^unix:/, '');
  });

  beforeEach(async () => {
    sessions = [];
    agent = await AgentClient.open(`unix:${socket}`, {});
  });

  afterEach(async () => {
    for (const session of sessions) await session.close();
    await agent.close();
  });

  afterAll(async () => {
    // After all of it the honest one is served.
    const sent = await system.cli('data', 'job', 'one', system.file('one'), ...parties.trust('provider'));
    expect(await system.stop()).toBe(0);
    succeeded(sent);
  });

  async function keysOf(party: string): Promise<ParticipantKeys> {
    return decodePrivateKeyFile(await readFile(system.file(`${party}.key`), 'utf8')).keys;
  }

  async function open(party: string, role: SessionRole): Promise<AgentSession> {
    const trust = await readTrust(parties, {});
    const { session } = await openTrustedSession(agent, trust, manifest, await keysOf(party), role);
    sessions.push(session);
    return session;
  }

  const inputOf = async (session: AgentSession) =>
    (await session.call({ method: 'status' }, ComputationStatus)).inputs['one'];

  describe.each(['bulk', 'grpc'] as const)('over %s', (path) => {
    let session: AgentSession;

    beforeEach(async () => {
      session = await open('provider', 'dataset');
    });

    /** Declares what the manifest asks for, and sends what it likes. */
    async function send(
      size: number,
      segmentsOf: (sealer: SegmentSealer) => SealedSegment[],
      inflatedSize?: number,
    ): Promise<void> {
      const { digest } = manifest.datasets[0] ?? { digest: '' };
      const encoding = inflatedSize === undefined ? {} : { inflatedSize };
      const request = { method: 'transfer.open', input: 'one', size, digest, ...encoding } as const;
      const opened = await session.call({ ...request, segmentSize: MIN_SEGMENT_SIZE }, TransferOpened);
      const { transferId: id, segmentSize, attempt, ticket, aead } = opened;
      const terms = { id, input: 'one', size, digest, segmentSize, attempt, ...encoding };
      const sealer = new SegmentSealer(uploadSegments(session.channel, aead, terms), opened.firstSegment);
      try {
        await (path === 'bulk' ? sendBulk : sendGrpc)(session, ticket, segmentsOf(sealer));
        await session.call({ method: 'transfer.finish', transferId: id }, TransferFinished);
      } finally {
        await session.call({ method: 'transfer.abort', transferId: id }, z.null()).catch(() => undefined);
      }
    }

    async function sendBulk(_: AgentSession, ticket: Uint8Array, segments: SealedSegment[]): Promise<void> {
      const preface = encodePreface({ direction: 'up', ticket, firstSegment: 0 });
      const answers = await talk(
        concat(preface, ...segments.map(frameSegment)),
        segments.at(-1)?.last ? 2 : 1,
      );
      for (const answer of answers) decodeAnswer(answer);
    }

    async function sendGrpc(to: AgentSession, ticket: Uint8Array, segments: SealedSegment[]): Promise<void> {
      await to.upload(
        ticket,
        (async function* () {
          yield* segments;
        })(),
      );
    }

    const cut = (bytes: Uint8Array) => (sealer: SegmentSealer) => {
      const segments: SealedSegment[] = [];
      for (let at = 0; at < bytes.length; at += MIN_SEGMENT_SIZE) {
        const end = at + MIN_SEGMENT_SIZE;
        segments.push(sealer.seal(bytes.subarray(at, end), end >= bytes.length));
      }
      return segments;
    };

    it.each<[what: string, code: string, size: number, segments: (sealer: SegmentSealer) => SealedSegment[]]>(
      [
        ['fewer bytes than declared', 'TRANSFER_SIZE_MISMATCH', SIZE, cut(content.subarray(0, -1))],
        [
          'a segment less than declared',
          'TRANSFER_SIZE_MISMATCH',
          SIZE,
          cut(content.subarray(MIN_SEGMENT_SIZE)),
        ],
        ['more bytes than declared', 'TRANSFER_SIZE_MISMATCH', SIZE, cut(Buffer.concat([content, content]))],
        ['one byte more than declared', 'TRANSFER_SIZE_MISMATCH', SIZE - 1, cut(content)],
        ['bytes of another digest', 'TRANSFER_DIGEST_MISMATCH', SIZE, cut(content.map((byte) => byte ^ 1))],
        ['no last segment', 'STREAM_TRUNCATED', SIZE, (sealer) => cut(content)(sealer).slice(0, -1)],
      ],
    )('is refused when it sends %s', async (_what, code, size, segments) => {
      await expect(send(size, segments)).rejects.toMatchObject({ code });
      await expect.poll(() => inputOf(session)).toMatchObject({ status: 'expected' });
    });

    const bomb = gzipSync(Buffer.alloc(64 * 2 ** 20));
    it.each<[what: string, code: string, gzip: Buffer, inflatedSize: number]>([
      ['a decompression bomb: gzip of more than declared', 'TRANSFER_SIZE_MISMATCH', bomb, SIZE],
      ['gzip of less than declared', 'TRANSFER_SIZE_MISMATCH', gzipSync(content), SIZE + 1],
      ['gzip of more than the enclave has memory for', 'LIMIT_EXCEEDED', bomb, 2 ** 50],
      ['gzip of another content', 'TRANSFER_DIGEST_MISMATCH', gzipSync(Buffer.alloc(SIZE)), SIZE],
      ['bytes that are not gzip but declared as gzip', 'TRANSFER_ENCODING', content, SIZE],
      ['truncated gzip', 'TRANSFER_ENCODING', gzipSync(content).subarray(0, -9), SIZE],
    ])('is refused when it sends %s', async (_what, code, gzip, inflatedSize) => {
      await expect(send(gzip.length, cut(gzip), inflatedSize)).rejects.toMatchObject({ code });
      await expect.poll(() => inputOf(session)).toMatchObject({ status: 'expected' });
    });
  });

  it.each<[what: string, code: string, party: string, role: SessionRole]>([
    ['with a key outside of the manifest', 'KEY_NOT_IN_MANIFEST', 'stranger', 'dataset'],
    ['as a consumer with the key of a provider', 'KEY_NOT_IN_MANIFEST', 'provider', 'consumer'],
    ['as a provider with the key of a consumer', 'KEY_NOT_IN_MANIFEST', 'consumer', 'dataset'],
    ['as a controller where the manifest names none', 'KEY_NOT_IN_MANIFEST', 'provider', 'controller'],
  ])('is refused when it opens a session %s', async (_what, code, party, role) => {
    await expect(open(party, role)).rejects.toMatchObject({ code });
  });

  describe('that signs an opening', () => {
    const xWing = { kem: 'x-wing', aead: 'chacha20-poly1305' } as const;
    const x25519 = { kem: 'x25519', aead: 'chacha20-poly1305' } as const;

    async function signed(change: (opening: SessionOpening) => Partial<SessionOpening>): Promise<void> {
      const trust = await readTrust(parties, {});
      const { nonce, verdict } = await verifyEnclave(agent, trust, manifest);
      const { signing } = await keysOf('provider');
      const kem = verdict.claims?.kemKeys.find((key) => key.kem === 'x-wing');
      const made = openSession({
        agentKemPublicKey: kem?.publicKey ?? new Uint8Array(0),
        suite: xWing,
        signingSecretKey: signing.secretKey,
        role: 'dataset',
        manifestDigest: canonicalDigest(manifest),
        evidenceDigest: verdict.evidenceDigest,
        nonce,
      });
      // The transcript is the documented one: the independent signature of the honest opening is the same.
      expect(signOpening(made.opening, signing.secretKey)).toEqual(Buffer.from(made.signature));
      const opening = { ...made.opening, ...change(made.opening) };
      sessions.push(await agent.open(opening, signOpening(opening, signing.secretKey), made.channel));
    }

    it.each(LOW_ORDER_POINTS.map((point) => [Buffer.from(point).toString('hex'), point] as const))(
      'is refused with the low-order X25519 point %s',
      async (_hex, enc) => {
        await expect(signed(() => ({ suite: x25519, enc }))).rejects.toMatchObject({
          code: 'CRYPTO_KEY_INVALID',
        });
      },
    );

    it.each<[what: string, code: string, change: (opening: SessionOpening) => Partial<SessionOpening>]>([
      ['an X-Wing ciphertext a byte short', 'CRYPTO_KEY_INVALID', ({ enc }) => ({ enc: enc.subarray(1) })],
      [
        'an X-Wing ciphertext a byte long',
        'CRYPTO_KEY_INVALID',
        ({ enc }) => ({ enc: concat(enc, enc.subarray(0, 1)) }),
      ],
      ['no X-Wing ciphertext', 'CRYPTO_KEY_INVALID', () => ({ enc: new Uint8Array(0) })],
      [
        'an X25519 key of a wrong length',
        'CRYPTO_KEY_INVALID',
        ({ enc }) => ({ suite: x25519, enc: enc.subarray(0, 31) }),
      ],
      ['another manifest', 'MANIFEST_DIGEST_MISMATCH', () => ({ manifestDigest: sha256Text(content) })],
      [
        'evidence that was never produced',
        'SESSION_EVIDENCE',
        () => ({ evidenceDigest: sha256Text(content) }),
      ],
      ['another nonce', 'SESSION_EVIDENCE', () => ({ nonce: randomBytes(32) })],
    ])('is refused with %s', async (_what, code, change) => {
      await expect(signed(change)).rejects.toMatchObject({ code });
    });
  });

  describe('on a bulk stream', () => {
    const ticket = randomBytes(32);
    const preface = encodePreface({ direction: 'up', ticket, firstSegment: 0 });
    const changed = (at: number, value: number) => {
      const bytes = Buffer.from(preface);
      bytes[at] = value;
      return bytes;
    };

    it.each<[what: string, code: string, bytes: Uint8Array]>([
      ['another version', 'FRAME_INVALID', changed(8, 9)],
      ['an invalid direction', 'FRAME_INVALID', changed(9, 7)],
      ['a ticket that was never issued', 'SESSION_NOT_FOUND', preface],
    ])('is refused with %s', async (_what, code, bytes) => {
      const [answer] = await talk(bytes, 1);
      expect(() => decodeAnswer(answer ?? new Uint8Array(0))).toThrow(expect.objectContaining({ code }));
    });

    it('is refused with a segment longer than any allowed one', async () => {
      const session = await open('provider', 'dataset');
      const { digest } = manifest.datasets[0] ?? { digest: '' };
      const opened = await session.call(
        { method: 'transfer.open', input: 'one', size: SIZE, digest },
        TransferOpened,
      );
      const up = encodePreface({ direction: 'up', ticket: opened.ticket, firstSegment: 0 });
      const [first, second] = await talk(concat(up, u32be(0x7fff_ffff)), 2);
      decodeAnswer(first ?? new Uint8Array(0));
      expect(() => decodeAnswer(second ?? new Uint8Array(0))).toThrow(
        expect.objectContaining({ code: 'FRAME_INVALID' }),
      );
      await session.call({ method: 'transfer.abort', transferId: opened.transferId }, z.null());
    });
  });

  /** Writes to the agent's port through the relay and reads answers. */
  async function talk(bytes: Uint8Array, answers: number): Promise<Uint8Array[]> {
    const stream = net.connect({ path: socket });
    try {
      stream.write(bytes);
      const reader = new ByteReader(stream);
      const read: Uint8Array[] = [];
      while (read.length < answers) {
        const head = await reader.readOrEnd(4);
        if (head === undefined) throw new CocosError('AGENT_UNAVAILABLE', 'The agent hung up.');
        read.push(await reader.read(answerLength(head)));
      }
      return read;
    } finally {
      stream.destroy();
    }
  }
});
