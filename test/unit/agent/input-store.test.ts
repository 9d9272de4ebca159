import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Duplex } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Agent } from '../../../src/agent/agent.ts';
import { readAgentConfig } from '../../../src/agent/config.ts';
import type { Session } from '../../../src/agent/sessions/sessions.ts';
import { InputStore } from '../../../src/agent/transfers/input-store.ts';
import type { SecurityProcessor } from '../../../src/attestation/emulated/processor.ts';
import type { Link } from '../../../src/link/link.ts';
import { MirrorSet } from '../../../src/link/mirror/mirror.ts';
import { memoryTransport } from '../../../src/link/transport/memory.ts';
import { StreamHandoff } from '../../../src/link/transport/stream-handoff.ts';
import { PORTS } from '../../../src/link/transport/transport.ts';
import { Manifest } from '../../../src/machines/manifest.ts';
import { reportServer } from '../../../src/manager/enclaves/report-server.ts';
import { SealedChannel } from '../../../src/protocol/channel.ts';
import { DEFAULT_SEGMENT_SIZE } from '../../../src/protocol/segments.ts';
import { vmLog } from '../../fakes/emulated-host.ts';
import { isLive, startLink } from '../link/wire.ts';

const digest = `sha256:${'0'.repeat(64)}`;
const PROVIDER = `ed25519:${'A'.repeat(43)}`;
const manifest = Manifest.parse({
  version: 1,
  id: 'transfers',
  name: 'transfers',
  algorithm: { kind: 'python', digest, provider: PROVIDER },
  datasets: [],
  consumers: [{ signing: PROVIDER, kem: `x25519:${'K'.repeat(43)}` }],
});

const session: Session = {
  id: 's',
  attestation: 'attestation/a',
  participant: PROVIDER,
  role: 'algorithm',
  aead: 'aes-256-gcm',
  channel: new SealedChannel(randomBytes(32), 'aes-256-gcm', 'agent'),
};

/** Answers the agent's requests at start-up; no test here collects evidence. */
const processor: SecurityProcessor = {
  certificates: [],
  derivedKey: () => randomBytes(32),
  report: () => randomBytes(1184),
};

/** The agent, its manager's link and the mirrors all run in this process. */
describe('a transfer of an agent', () => {
  let workDir: string;
  let agent: Agent;
  let manager: Link;
  let ended: Promise<void>;
  let mirrors: MirrorSet;
  let lost: string[];

  beforeEach(async () => {
    mirrors = new MirrorSet(() => undefined);
    lost = [];
    workDir = await mkdtemp(path.join(tmpdir(), 'cocos-a-'));
    const network = memoryTransport();
    const report = {
      launchLog: vmLog,
      measurement: new Uint8Array(48),
      hostData: new Uint8Array(32),
      processor,
    };
    await network.listen(PORTS.report, reportServer(report));
    const incoming = new StreamHandoff<Duplex>();
    await network.listen(PORTS.link, (stream) => incoming.give(stream));
    manager = startLink({
      role: 'manager',
      enclaveId: 'abcd',
      open: (signal) => incoming.take(signal),
      onEvent: (body) => mirrors.apply(body),
      onState: (state, reason) => state === 'lost' && lost.push(String(reason)),
    });
    let end: () => void = () => undefined;
    ended = new Promise((resolve) => (end = resolve));
    agent = new Agent(
      readAgentConfig({ COCOS_MODE: 'process', COCOS_SOCKETS: '/', COCOS_WORK: workDir }),
      network,
      null,
      end,
    );
    agent.start();
    await expect.poll(isLive(manager)).toBe(true);
    await manager.command('manifest.deliver', { manifest }, 600_000);
  });

  afterEach(async () => {
    agent.stop();
    await ended;
    await rm(workDir, { recursive: true, force: true });
  });

  const terms = { input: 'algorithm', size: 1, digest, segmentSize: DEFAULT_SEGMENT_SIZE };

  it('is retired when its input is sent again, however often a participant aborts it', async () => {
    let latest = '';
    for (let round = 0; round < 10; round++) {
      const { id } = await agent.transfers.begin(session, terms);
      latest = `transfer/${id}`;
      agent.actors.sendLegal(latest, { type: 'transfer.abort' });
      // Its cause remains available until the input is sent again.
      expect(agent.actors.transfer(id)?.getSnapshot().context.cause?.code).toBe('CANCELLED');
      await expect
        .poll(() => agent.computation.context.inputs['algorithm']?.status, { interval: 5 })
        .toBe('expected');
    }
    await expect.poll(() => mirrors.addresses().sort()).toEqual(['computation', latest]);
    expect(mirrors.get(latest)?.value).toBe('aborted');
    expect(lost).toEqual([]);
  });

  it('leaves nothing in the enclave when the computation stops before its run', async () => {
    await agent.transfers.begin(session, terms);
    expect(await readdir(path.join(workDir, 'inputs'))).toHaveLength(1);
    agent.actors.sendLegal('computation', { type: 'computation.stop', by: 'host' });
    await expect.poll(() => readdir(path.join(workDir, 'inputs')).catch(() => 'gone')).toBe('gone');
  });

  it('is the only one of its input at a time', async () => {
    await agent.transfers.begin(session, terms);
    await expect(agent.transfers.begin(session, terms)).rejects.toMatchObject({
      code: 'INPUT_NOT_EXPECTED',
    });
    expect(lost).toEqual([]);
  });

  it('is the only one of two that are requested at once for one input', async () => {
    const outcomes = await Promise.allSettled([1, 2].map(() => agent.transfers.begin(session, terms)));
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    expect(await readdir(path.join(workDir, 'inputs'))).toHaveLength(1);
    expect(agent.computation.context.inputs['algorithm']?.status).toBe('receiving');
    await expect.poll(() => mirrors.addresses().length).toBe(2);
    expect(lost).toEqual([]);
  });

  it('leaves its input expected and the quota free when its file cannot be created', async () => {
    const open = vi.spyOn(InputStore.prototype, 'begin').mockRejectedValueOnce(new Error('no file'));
    await expect(agent.transfers.begin(session, terms)).rejects.toThrow('no file');
    open.mockRestore();
    expect(agent.computation.context.inputs['algorithm']?.status).toBe('expected');
    await agent.transfers.begin(session, terms);
  });
});
