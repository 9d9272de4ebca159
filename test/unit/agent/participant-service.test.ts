import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { Agent } from '../../../src/agent/agent.ts';
import { readAgentConfig } from '../../../src/agent/config.ts';
import type { ParticipantService } from '../../../src/agent/sessions/participant-service.ts';
import { canonicalDigest, sha256Text } from '../../../src/crypto/digest.ts';
import { DEFAULT_SUITE } from '../../../src/crypto/hpke.ts';
import { encodeSigningKey, generateParticipantKeys } from '../../../src/crypto/keys.ts';
import { CocosError } from '../../../src/errors.ts';
import { memoryTransport } from '../../../src/link/transport/memory.ts';
import { PORTS } from '../../../src/link/transport/transport.ts';
import { ATTESTATION_LIMITS } from '../../../src/machines/attestation.machine.ts';
import { Manifest } from '../../../src/machines/manifest.ts';
import { reportServer } from '../../../src/manager/enclaves/report-server.ts';
import { SealedChannel } from '../../../src/protocol/channel.ts';
import { SegmentSealer } from '../../../src/protocol/segments.ts';
import { openSession, type SessionOpening, type SessionRole } from '../../../src/protocol/session.ts';
import { uploadSegments } from '../../../src/protocol/upload.ts';
import {
  ASSOCIATED,
  ComputationStatus,
  decodeAnswer,
  decodeBody,
  encodeBody,
  type SealedRequest,
  SessionHello,
  TransferOpened,
} from '../../../src/rpc/sealed.ts';
import { vmLog } from '../../fakes/emulated-host.ts';

const PARTIES = ['algorithm', 'dataset', 'other', 'consumer', 'starter', 'stopper', 'stranger'] as const;
type Party = (typeof PARTIES)[number];
const keys = Object.fromEntries(PARTIES.map((party) => [party, generateParticipantKeys()])) as Readonly<
  Record<Party, ReturnType<typeof generateParticipantKeys>>
>;
const signing = (party: Party) => encodeSigningKey(keys[party].signing.publicKey);

const digest = (letter: string) => `sha256:${letter.repeat(64)}`;
const manifest = Manifest.parse({
  version: 1,
  id: 'service',
  name: 'service',
  algorithm: { kind: 'python', digest: digest('a'), provider: signing('algorithm') },
  datasets: [
    { name: 'one', digest: digest('1'), provider: signing('dataset') },
    { name: 'two', digest: digest('2'), provider: signing('other') },
  ],
  consumers: [{ signing: signing('consumer'), kem: `x25519:${'K'.repeat(43)}` }],
  start: [signing('starter')],
  stop: [signing('stopper')],
});
const manifestDigest = canonicalDigest(manifest);
const SIZE = 3;

interface Opened {
  readonly id: string;
  readonly channel: SealedChannel;
}

const error = (code: string) => expect.objectContaining({ code });

describe('the participant service', () => {
  let workDirs: string[];
  let agents: { readonly agent: Agent; readonly ended: Promise<void> }[];
  let agent: Agent;
  let service: ParticipantService;
  let hasReports: boolean;

  beforeEach(async () => {
    workDirs = [];
    hasReports = true;
    agents = [];
    ({ agent, service } = await startService());
  });

  afterEach(async () => {
    for (const each of agents) {
      each.agent.stop();
      await each.ended;
    }
    await Promise.all(workDirs.map((folder) => rm(folder, { recursive: true, force: true })));
  });

  /** An agent with a manifest but without a manager. */
  async function startService() {
    const workDir = await mkdtemp(path.join(tmpdir(), 'cocos-d-'));
    workDirs.push(workDir);
    const network = memoryTransport();
    const report = {
      ...{ launchLog: vmLog, measurement: new Uint8Array(48), hostData: new Uint8Array(32) },
      processor: {
        certificates: [],
        derivedKey: () => randomBytes(32),
        report: () => {
          if (!hasReports) throw new CocosError('EVIDENCE_UNAVAILABLE', 'the test disabled reports');
          return randomBytes(1184);
        },
      },
    };
    await network.listen(PORTS.report, reportServer(report));
    let end: () => void = () => undefined;
    const ended = new Promise<void>((resolve) => (end = resolve));
    const started = new Agent(
      readAgentConfig({ COCOS_MODE: 'process', COCOS_SOCKETS: '/', COCOS_WORK: workDir }),
      network,
      null,
      end,
    );
    agents.push({ agent: started, ended });
    started.start();
    await expect.poll(() => started.platform.reportProvider.platform).toBe('emulated');
    await new Promise((resolve) => setTimeout(resolve, 5));
    started.computation.send({ type: 'manifest.accepted', manifest, digest: manifestDigest, atMs: 1 });
    return { agent: started, service: started.service };
  }

  function attestations(): string[] {
    const addresses = agent.actors.snapshot().map((record) => record.address);
    return addresses.filter((address) => address.startsWith('attestation/'));
  }

  async function openingOf(party: Party, role: SessionRole, changes: Partial<SessionOpening> = {}) {
    const nonce = randomBytes(32);
    const evidence = await service.evidence(nonce);
    return openSession({
      agentKemPublicKey: agent.identity.kems[DEFAULT_SUITE.kem].publicKey,
      suite: DEFAULT_SUITE,
      signingSecretKey: keys[party].signing.secretKey,
      role,
      manifestDigest,
      evidenceDigest: sha256Text(evidence),
      nonce,
      ...changes,
    });
  }

  async function open(party: Party, role: SessionRole): Promise<Opened> {
    const { opening, signature, channel } = await openingOf(party, role);
    const { sequence, ciphertext } = service.openSession(opening, signature);
    decodeBody(SessionHello, channel.open(sequence, ciphertext, ASSOCIATED.hello));
    return { id: Buffer.from(opening.sessionId).toString('hex'), channel };
  }

  async function ask<T>({ id, channel }: Opened, request: unknown, schema: z.ZodType<T>): Promise<T> {
    const sealed = channel.seal(encodeBody(request), ASSOCIATED.call);
    const answer = await service.call(id, sealed.sequence, sealed.ciphertext);
    return decodeAnswer(
      schema,
      channel.open(answer.sequence, answer.ciphertext, ASSOCIATED.answer(sealed.sequence)),
    );
  }

  const status = (session: Opened) => ask(session, { method: 'status' }, ComputationStatus);
  const transfer = (input: string, of: string): SealedRequest => ({
    ...{ method: 'transfer.open', input, size: SIZE, digest: digest(of) },
  });

  describe('when a session is opened', () => {
    it.each<[Party, SessionRole]>([
      ['algorithm', 'algorithm'],
      ['dataset', 'dataset'],
      ['consumer', 'consumer'],
      ['starter', 'controller'],
      ['stopper', 'controller'],
    ])('accepts the %s as %s', async (party, role) => {
      expect(await status(await open(party, role))).toMatchObject({ state: 'receiving' });
    });

    it.each<[Party, SessionRole]>([
      ...(['algorithm', 'dataset', 'consumer', 'controller'] as const).map((role): [Party, SessionRole] => [
        'stranger',
        role,
      ]),
      ['algorithm', 'dataset'],
      ['dataset', 'algorithm'],
      ['dataset', 'consumer'],
      ['consumer', 'controller'],
      ['starter', 'consumer'],
    ])('refuses the %s as %s', async (party, role) => {
      await expect(open(party, role)).rejects.toEqual(error('KEY_NOT_IN_MANIFEST'));
    });

    it('accepts only evidence of its own agent', async () => {
      const { opening, signature } = await openingOf('dataset', 'dataset', {
        evidenceDigest: digest('e'),
      });
      expect(() => service.openSession(opening, signature)).toThrow(error('SESSION_EVIDENCE'));
      const ofThis = await openingOf('dataset', 'dataset');
      const elsewhere = await startService();
      expect(() => elsewhere.service.openSession(ofThis.opening, ofThis.signature)).toThrow(
        error('SESSION_EVIDENCE'),
      );
      service.openSession(ofThis.opening, ofThis.signature);
    });

    it('refuses a nonce that differs from the one of the evidence', async () => {
      const { opening, signature } = await openingOf('dataset', 'dataset', { nonce: randomBytes(32) });
      expect(() => service.openSession(opening, signature)).toThrow(error('SESSION_EVIDENCE'));
    });

    it('refuses a second session on the same evidence', async () => {
      const { opening, signature } = await openingOf('dataset', 'dataset');
      service.openSession(opening, signature);
      expect(() => service.openSession(opening, signature)).toThrow(error('SESSION_REPLAYED'));
    });

    it('refuses a participant that agreed to another manifest', async () => {
      const { opening, signature } = await openingOf('dataset', 'dataset', { manifestDigest: digest('f') });
      expect(() => service.openSession(opening, signature)).toThrow(error('MANIFEST_DIGEST_MISMATCH'));
    });

    it('refuses a wrong signature, and then accepts the right one', async () => {
      const { opening, signature } = await openingOf('dataset', 'dataset');
      const stranger = { ...opening, participant: keys.stranger.signing.publicKey };
      const inRole = { ...opening, role: 'consumer' as const };
      const altered = Uint8Array.from(signature, (byte, index) => (index === 9 ? byte ^ 1 : byte));
      expect(() => service.openSession(stranger, signature)).toThrow(error('SESSION_SIGNATURE'));
      expect(() => service.openSession(inRole, signature)).toThrow(error('SESSION_SIGNATURE'));
      expect(() => service.openSession(opening, altered)).toThrow(error('SESSION_SIGNATURE'));
      service.openSession(opening, signature);
    });

    it('refuses expired evidence', async () => {
      const { opening, signature } = await openingOf('dataset', 'dataset');
      agent.actors.send(attestations()[0] ?? '', { type: 'deadline.reached' });
      expect(() => service.openSession(opening, signature)).toThrow(error('SESSION_EVIDENCE'));
    });
  });

  describe('when it is called', () => {
    it('answers each call once and continues after a refused one', async () => {
      const session = await open('dataset', 'dataset');
      const first = session.channel.seal(encodeBody({ method: 'status' }), ASSOCIATED.call);
      const altered = Uint8Array.from(first.ciphertext, (byte, index) => (index === 3 ? byte ^ 1 : byte));
      await expect(service.call(session.id, first.sequence, altered)).rejects.toEqual(
        error('CRYPTO_OPEN_FAILED'),
      );
      await expect(service.call(session.id, first.sequence + 1, first.ciphertext)).rejects.toEqual(
        error('CRYPTO_OPEN_FAILED'),
      );
      await service.call(session.id, first.sequence, first.ciphertext);
      await expect(service.call(session.id, first.sequence, first.ciphertext)).rejects.toEqual(
        error('SESSION_REPLAYED'),
      );
      expect((await status(session)).state).toBe('receiving');
    });

    it('refuses a call sealed for another session', async () => {
      const one = await open('dataset', 'dataset');
      const two = await open('other', 'dataset');
      const sealed = one.channel.seal(encodeBody({ method: 'status' }), ASSOCIATED.call);
      await expect(service.call(two.id, sealed.sequence, sealed.ciphertext)).rejects.toEqual(
        error('CRYPTO_OPEN_FAILED'),
      );
      await expect(service.call('00'.repeat(16), 0, sealed.ciphertext)).rejects.toEqual(
        error('SESSION_NOT_FOUND'),
      );
    });

    it('refuses a message of the session that is not a call', async () => {
      const session = await open('consumer', 'consumer');
      const follow = session.channel.seal(encodeBody(null), ASSOCIATED.follow);
      await expect(service.call(session.id, follow.sequence, follow.ciphertext)).rejects.toEqual(
        error('CRYPTO_OPEN_FAILED'),
      );
      const call = session.channel.seal(encodeBody({ method: 'status' }), ASSOCIATED.call);
      const items = service.follow(session.id, call.sequence, call.ciphertext, new AbortController().signal);
      await expect(items.next()).rejects.toEqual(error('CRYPTO_OPEN_FAILED'));
    });

    it.each<[string, unknown]>([
      ['an unknown method', { method: 'keys.show' }],
      ['a method with more than its fields', { method: 'status', verbose: true }],
      ['a body that is not a request', 'status'],
      ['a negative size', { ...transfer('one', '1'), size: -1 }],
    ])('seals the refusal of %s', async (_what, request) => {
      const session = await open('dataset', 'dataset');
      await expect(ask(session, request, z.unknown())).rejects.toEqual(error('INPUT_INVALID'));
      expect((await status(session)).state).toBe('receiving');
    });

    it('refuses a call of a closed session', async () => {
      const session = await open('dataset', 'dataset');
      expect(await ask(session, { method: 'session.close' }, z.null())).toBeNull();
      const late = session.channel.seal(encodeBody({ method: 'status' }), ASSOCIATED.call);
      await expect(service.call(session.id, late.sequence, late.ciphertext)).rejects.toEqual(
        error('SESSION_NOT_FOUND'),
      );
    });
  });

  it('ends a session that was idle for an hour, with its tickets, but not one that was used', async () => {
    vi.useFakeTimers({ toFake: ['performance', 'setTimeout', 'clearTimeout'] });
    try {
      const used = await open('other', 'dataset');
      const idle = await open('dataset', 'dataset');
      const { ticket } = await ask(idle, transfer('one', '1'), TransferOpened);
      await vi.advanceTimersByTimeAsync(ATTESTATION_LIMITS.idleMs - 60_000);
      expect((await status(used)).state).toBe('receiving');
      await vi.advanceTimersByTimeAsync(120_000);
      const late = idle.channel.seal(encodeBody({ method: 'status' }), ASSOCIATED.call);
      await expect(service.call(idle.id, late.sequence, late.ciphertext)).rejects.toEqual(
        error('SESSION_NOT_FOUND'),
      );
      expect(() => service.attachUpload(ticket)).toThrow(error('SESSION_NOT_FOUND'));
      expect((await status(used)).state).toBe('receiving');
    } finally {
      vi.useRealTimers();
    }
  });

  it.each<[Party, SessionRole, SealedRequest, string]>([
    ['dataset', 'dataset', transfer('two', '2'), 'KEY_NOT_IN_MANIFEST'],
    ['dataset', 'dataset', transfer('algorithm', 'a'), 'KEY_NOT_IN_MANIFEST'],
    ['algorithm', 'algorithm', transfer('one', '1'), 'KEY_NOT_IN_MANIFEST'],
    ['consumer', 'consumer', transfer('one', '1'), 'KEY_NOT_IN_MANIFEST'],
    ['dataset', 'dataset', transfer('three', '1'), 'INPUT_NOT_EXPECTED'],
    ['dataset', 'dataset', transfer('__proto__', '1'), 'INPUT_NOT_EXPECTED'],
    ['dataset', 'dataset', transfer('one', '2'), 'TRANSFER_DIGEST_MISMATCH'],
    ['dataset', 'dataset', { ...transfer('one', '1'), size: 2 ** 50 } as SealedRequest, 'LIMIT_EXCEEDED'],
    ['dataset', 'dataset', { method: 'transfer.finish', transferId: 'none' }, 'TRANSFER_NOT_FOUND'],
    ['dataset', 'dataset', { method: 'transfer.abort', transferId: 'none' }, 'TRANSFER_NOT_FOUND'],
    ['dataset', 'dataset', { method: 'run.start' }, 'STATE_EVENT_ILLEGAL'],
    ['starter', 'controller', { method: 'run.start' }, 'STATE_EVENT_ILLEGAL'],
    ['dataset', 'dataset', { method: 'computation.stop' }, 'KEY_NOT_IN_MANIFEST'],
    ['starter', 'controller', { method: 'computation.stop' }, 'KEY_NOT_IN_MANIFEST'],
    ['dataset', 'dataset', { method: 'result.open' }, 'KEY_NOT_IN_MANIFEST'],
    ['dataset', 'dataset', { method: 'result.confirm' }, 'KEY_NOT_IN_MANIFEST'],
    ['consumer', 'consumer', { method: 'result.open' }, 'RESULT_NOT_READY'],
  ])('refuses the %s as %s: %o with %s', async (party, role, request, code) => {
    const session = await open(party, role);
    const before = agent.actors.computation.getSnapshot();
    await expect(ask(session, request, z.unknown())).rejects.toEqual(error(code));
    const after = agent.actors.computation.getSnapshot();
    expect(after.value).toEqual(before.value);
    expect(after.context).toEqual(before.context);
  });

  it('refuses access to the transfer of another participant', async () => {
    const owner = await open('dataset', 'dataset');
    const { transferId, ticket } = await ask(owner, transfer('one', '1'), TransferOpened);
    const other = await open('other', 'dataset');
    for (const method of ['transfer.finish', 'transfer.abort'] as const) {
      await expect(ask(other, { method, transferId }, z.unknown())).rejects.toEqual(
        error('TRANSFER_NOT_FOUND'),
      );
    }
    expect(agent.actors.transfer(transferId)?.getSnapshot().value).toBe('opening');
    // A host with the ticket has no key for the transfer.
    const receiver = service.attachUpload(ticket);
    await expect(receiver.take(0, true, randomBytes(SIZE + 16))).rejects.toEqual(error('CRYPTO_OPEN_FAILED'));
    expect(agent.computation.context.inputs['one']?.status).toBe('receiving');
    await ask(owner, { method: 'transfer.abort', transferId }, z.null());
  });

  it('refuses a segment after the last one, also when the transfer has ended meanwhile', async () => {
    const owner = await open('dataset', 'dataset');
    const opened = await ask(owner, transfer('one', '1'), TransferOpened);
    const { transferId, ticket, segmentSize, attempt, aead } = opened;
    const terms = { id: transferId, size: SIZE, input: 'one', digest: digest('1'), segmentSize, attempt };
    const sealer = new SegmentSealer(uploadSegments(owner.channel, aead, terms), 0);
    const { bytes } = sealer.seal(new Uint8Array(SIZE), true);
    const receiver = service.attachUpload(ticket);
    await receiver.take(0, true, bytes);
    // Its digest is not the declared one.
    await expect(ask(owner, { method: 'transfer.finish', transferId }, z.unknown())).rejects.toEqual(
      error('TRANSFER_DIGEST_MISMATCH'),
    );
    await expect(receiver.take(1, true, bytes)).rejects.toEqual(error('STREAM_TRAILING'));
  });

  it('accepts a ticket once, for its purpose, and not after the transfer was opened again', async () => {
    const owner = await open('dataset', 'dataset');
    const first = await ask(owner, transfer('one', '1'), TransferOpened);
    const second = await ask(owner, transfer('one', '1'), TransferOpened);
    expect(second.transferId).toBe(first.transferId);
    expect(() => service.attachUpload(first.ticket)).toThrow(error('TRANSFER_NOT_FOUND'));
    expect(() => service.download(second.ticket)).toThrow(error('SESSION_NOT_FOUND'));
    service.attachUpload(second.ticket);
    expect(() => service.attachUpload(second.ticket)).toThrow(error('SESSION_NOT_FOUND'));
    expect(() => service.attachUpload(randomBytes(32))).toThrow(error('SESSION_NOT_FOUND'));
    await ask(owner, { method: 'transfer.abort', transferId: first.transferId }, z.null());
  });

  it("accepts the sender's segment size within limits", async () => {
    const owner = await open('dataset', 'dataset');
    for (const [wish, given] of [
      [1, 65_536],
      [1_000_000, 1_000_000],
      [2 ** 31, 4_194_304],
    ] as const) {
      const request = { ...transfer('one', '1'), segmentSize: wish } as SealedRequest;
      const { transferId, segmentSize } = await ask(owner, request, TransferOpened);
      expect(segmentSize).toBe(given);
      await ask(owner, { method: 'transfer.abort', transferId }, z.null());
      await expect.poll(() => agent.computation.context.inputs['one']?.status).toBe('expected');
    }
  });

  it('stops the computation for a key of the manifest', async () => {
    const session = await open('stopper', 'controller');
    const { state, cause } = await ask(session, { method: 'computation.stop' }, ComputationStatus);
    expect(state).toBe('stopped');
    expect(cause).toMatchObject({ code: 'CANCELLED', details: { by: signing('stopper') } });
  });

  it('limits the number of attestations, including concurrent challenges', async () => {
    const asked = await Promise.allSettled(
      Array.from({ length: 400 }, () => service.evidence(randomBytes(32))),
    );
    const refused = asked.filter((each) => each.status === 'rejected');
    expect(refused.length).toBe(400 - 256);
    expect(refused[0]?.reason).toEqual(error('LIMIT_EXCEEDED'));
    const kept = attestations();
    expect(kept.length).toBe(256);
    // An attestation that is over is retired first, otherwise the oldest one without a session.
    agent.actors.send(kept[7] ?? '', { type: 'deadline.reached' });
    await service.evidence(randomBytes(32));
    expect(attestations()).not.toContain(kept[7]);
    expect(attestations()).toContain(kept[0]);
    await service.evidence(randomBytes(32));
    expect(attestations()).not.toContain(kept[0]);
    expect(attestations()).toContain(kept[1]);
    expect(attestations().length).toBe(256);
  });

  it('overwrites the keys of a session that was closed, replaced, or found expired', async () => {
    const erased = vi.spyOn(SealedChannel.prototype, 'erase');
    const closed = await open('dataset', 'dataset');
    await ask(closed, { method: 'session.close' }, z.null());
    expect(erased).toHaveBeenCalledTimes(1);
    for (let round = 0; round < 17; round++) await open('dataset', 'dataset');
    expect(erased).toHaveBeenCalledTimes(2);
    const [, , expired] = attestations();
    agent.actors.send(expired ?? '', { type: 'deadline.reached' });
    await service.evidence(randomBytes(32));
    expect(erased).toHaveBeenCalledTimes(3);
    erased.mockRestore();
  });

  it('limits the sessions of one participant without affecting another', async () => {
    const other = await open('other', 'dataset');
    const own: Opened[] = [];
    for (let round = 0; round < 18; round++) own.push(await open('dataset', 'dataset'));
    const [first, second, third] = own;
    if (first === undefined || second === undefined || third === undefined) return expect.fail();
    await expect(status(first)).rejects.toEqual(error('SESSION_NOT_FOUND'));
    await expect(status(second)).rejects.toEqual(error('SESSION_NOT_FOUND'));
    expect((await status(third)).state).toBe('receiving');
    expect((await status(other)).state).toBe('receiving');
  });

  it('retires a challenge that the platform did not answer', async () => {
    hasReports = false;
    for (let round = 0; round < 10; round++) {
      await expect(service.evidence(randomBytes(32))).rejects.toEqual(error('EVIDENCE_UNAVAILABLE'));
    }
    expect(attestations()).toEqual([]);
    hasReports = true;
    expect((await status(await open('dataset', 'dataset'))).state).toBe('receiving');
  });

  it('refuses a nonce of the wrong length', async () => {
    await expect(service.evidence(randomBytes(31))).rejects.toEqual(error('INPUT_INVALID'));
  });
});
