import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { certificateOf } from '../harness/certificate.ts';
import {
  makeParties,
  PROCESS_REFERENCE,
  type System,
  startSystem,
  stopAll,
  succeeded,
} from '../harness/system.ts';

/** Parties on other machines reach every enclave of a host at one address. */

const Shown = z.object({ participants: z.string().nullable() });
const ALGORITHM = 'open("/cocos/results/answer", "w").write(open("/cocos/datasets/one").read())\n';

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
  await stopAll();
});

/** The address that `enclave show` gives to participants of other machines. */
async function participantsOf(system: System, enclave: string): Promise<string> {
  const { json } = succeeded(await system.cli('enclave', 'show', enclave, '-o', 'json'));
  const { participants } = Shown.parse(json[0]);
  if (participants === null) throw new Error('there is no address for participants');
  return participants;
}

/** The whole job through an address, with a manager that nobody can ask. */
async function wholeJob(system: System, enclave: string, settings: NodeJS.ProcessEnv = {}): Promise<void> {
  const parties = await makeParties(system, {
    algorithm: ALGORITHM,
    datasets: { one: 'forty-two' },
    reference: PROCESS_REFERENCE,
  });
  succeeded(await system.cli('enclave', 'create', enclave, '--manifest', parties.manifest));
  const address = await participantsOf(system, enclave);
  Object.assign(system.environment, { COCOSAI_MANAGER: 'unix:/nowhere', ...settings });
  const remote = async (...args: string[]) => succeeded(await system.cli(...args));
  await remote('algo', address, system.file('algorithm'), ...parties.trust('provider'));
  await remote('data', address, 'one', system.file('one'), ...parties.trust('provider'));
  await remote('run', address, ...parties.trust('consumer'));
  await remote('result', 'get', address, '--out', system.file('result'), ...parties.trust('consumer'));
}

/** A proxy that knows nothing but CONNECT, and counts what it was asked for. */
async function proxy(): Promise<{ readonly url: string; readonly targets: string[] }> {
  const targets: string[] = [];
  const server = net.createServer((near) => {
    near.on('error', () => near.destroy());
    near.once('data', (head: Buffer) => {
      const [, host, port] = /^CONNECT ([^ ]+):(\d+) HTTP\/1\.1\r\n/.exec(head.toString()) ?? [];
      targets.push(`${host}:${port}`);
      const far = net.connect({ host: host ?? '', port: Number(port) });
      far.on('error', () => near.destroy()).on('close', () => near.destroy());
      near.on('close', () => far.destroy());
      far.once('connect', () => {
        near.write('HTTP/1.1 200 OK\r\nVia: 1.1 test\r\n\r\n');
        near.pipe(far);
        far.pipe(near);
      });
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(() => server.close());
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port');
  return { url: `http://127.0.0.1:${address.port}`, targets };
}

/** Sends a request and reads until the gateway closes the connection. */
async function ask(port: number, request: string): Promise<string> {
  const socket = net.connect({ host: '127.0.0.1', port });
  let text = '';
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  socket.write(request);
  await once(socket, 'close');
  return text;
}

function ownCertificate(address: string) {
  const folder = mkdtempSync(path.join(tmpdir(), 'cocos-tls-'));
  closing.push(() => rmSync(folder, { recursive: true, force: true }));
  return certificateOf(address, folder);
}

function getEvidence(system: System, enclave: string): string[] {
  return ['attestation', 'get', enclave, '--nonce', '00'.repeat(32), '--out', system.file('evidence')];
}

const GATEWAY = { COCOSAI_MODE: 'process', COCOSAI_PARTICIPANTS: 'tcp:127.0.0.1:0' };

describe('a gateway of participants', () => {
  it('carries the whole job to the enclave that an address names, without a manager', async () => {
    const system = await startSystem(GATEWAY);
    await wholeJob(system, 'job');
  });

  it('is reached through a proxy', async () => {
    const { url, targets } = await proxy();
    const system = await startSystem(GATEWAY);
    await wholeJob(system, 'job', { HTTPS_PROXY: url, NO_PROXY: '' });
    expect(new Set(targets).size).toBe(1);
    expect(targets.length).toBeGreaterThan(4);
  });

  it('proves its name by TLS', async () => {
    const own = ownCertificate('127.0.0.1');
    const tls = { COCOSAI_PARTICIPANTS_TLS_CERT: own.certificate, COCOSAI_PARTICIPANTS_TLS_KEY: own.key };
    const system = await startSystem({ ...GATEWAY, COCOSAI_PARTICIPANTS: 'tls:127.0.0.1:0', ...tls });
    await wholeJob(system, 'job', { COCOSAI_GATEWAY_CA: own.certificate });
  });

  it('is refused with the certificate of another name or authority', async () => {
    const own = ownCertificate('10.0.0.1');
    const tls = { COCOSAI_PARTICIPANTS_TLS_CERT: own.certificate, COCOSAI_PARTICIPANTS_TLS_KEY: own.key };
    const system = await startSystem({ ...GATEWAY, COCOSAI_PARTICIPANTS: 'tls:127.0.0.1:0', ...tls });
    succeeded(await system.cli('enclave', 'create', 'job'));
    const address = await participantsOf(system, 'job');
    for (const authority of [undefined, own.certificate]) {
      Object.assign(system.environment, { COCOSAI_GATEWAY_CA: authority });
      const refused = await system.cli(...getEvidence(system, address));
      expect(refused.stderr).toContain('does not prove its name by TLS');
    }
  });

  it('says that only this machine can connect where there is none', async () => {
    const system = await startSystem({ COCOSAI_MODE: 'process' });
    succeeded(await system.cli('enclave', 'create', 'job'));
    expect(succeeded(await system.cli('enclave', 'show', 'job')).stdout).toContain(
      'only this machine can connect',
    );
  });

  it('gives one answer for every enclave that cannot be reached', async () => {
    const system = await startSystem(GATEWAY);
    succeeded(await system.cli('enclave', 'create', 'job'));
    const address = await participantsOf(system, 'job');
    const [, port, id] = /:(\d+)\/(\w+)$/.exec(address) ?? [];
    const answers = await Promise.all(
      ['00000000', 'manager', `${id}x`].map((name) =>
        ask(Number(port), `CONNECT ${name}:7002 HTTP/1.1\r\nHost: ${name}\r\n\r\n`),
      ),
    );
    expect(new Set(answers).size).toBe(1);
    expect(answers[0]).toMatch(/^HTTP\/1\.1 404 /);
    expect(await ask(Number(port), `GET / HTTP/1.1\r\nHost: x\r\n\r\n`)).toMatch(/^HTTP\/1\.1 405 /);
    const refused = await system.cli(...getEvidence(system, address.replace(/\w+$/, '00000000')));
    expect(refused.code).toBe(69);
    expect(refused.stderr).toContain('has no enclave 00000000 that runs');
  });
});
