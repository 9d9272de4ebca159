import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TpmPort } from '../../../../src/agent/evidence/tpm/device.ts';

/** Why no TPM is available for tests, or null. */
export function whyNoTpm(): string | null {
  for (const program of ['swtpm', 'swtpm_setup', 'tpm2_quote']) {
    if (spawnSync(program, ['--version']).error !== undefined) return `there is no ${program}`;
  }
  return null;
}

/** A software TPM behind a proxy that records the commands of tpm2-tools. */
export interface TestTpm {
  readonly folder: string;
  readonly port: TpmPort;
  /** Runs a program of tpm2-tools; returns its output and the commands that it sent. */
  tool(name: string, ...args: string[]): Promise<{ output: string; commands: Buffer[] }>;
  close(): Promise<void>;
}

async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

/** Two adjacent ports: the tools expect control next to data. */
async function portPair(): Promise<number> {
  for (;;) {
    const port = await freePort();
    const probe = net.createServer();
    const free = await new Promise<boolean>((resolve) => {
      probe.once('error', () => resolve(false));
      probe.listen(port + 1, '127.0.0.1', () => probe.close(() => resolve(true)));
    });
    if (free) return port;
  }
}

function proxy(listen: number, target: number, onData: (bytes: Buffer) => void): net.Server {
  return net
    .createServer((client) => {
      const upstream = net.connect(target, '127.0.0.1');
      client.on('data', (bytes) => {
        onData(bytes);
        upstream.write(bytes);
      });
      upstream.on('data', (bytes) => client.write(bytes));
      for (const socket of [client, upstream]) socket.on('error', () => socket.destroy());
      client.on('close', () => upstream.destroy());
      upstream.on('close', () => client.destroy());
    })
    .listen(listen, '127.0.0.1');
}

export async function startTestTpm(): Promise<TestTpm> {
  const folder = mkdtempSync(join(tmpdir(), 'cocos-tpm-'));
  const state = join(folder, 'state');
  mkdirSync(state);
  const direct = await portPair();
  const swtpm = spawn(
    'swtpm',
    [
      'socket',
      '--tpm2',
      ...['--tpmstate', `dir=${state}`, '--flags', 'not-need-init,startup-clear'],
      ...['--server', `type=tcp,port=${direct}`, '--ctrl', `type=tcp,port=${direct + 1}`],
    ],
    { stdio: 'ignore' },
  );
  const watched = await portPair();
  let commands: Buffer[] = [];
  const servers = [
    proxy(watched, direct, (bytes) => commands.push(bytes)),
    proxy(watched + 1, direct + 1, () => undefined),
  ];
  const exchange = (command: Uint8Array): Promise<Buffer> =>
    new Promise((resolve, reject) => {
      const socket = net.connect(direct, '127.0.0.1', () => socket.write(command));
      socket.once('error', reject);
      socket.once('data', (bytes) => {
        socket.once('close', () => resolve(bytes));
        socket.destroy();
      });
    });
  for (let tries = 0; ; tries++) {
    try {
      await exchange(Buffer.from('80010000000c0000017b0008', 'hex'));
      break;
    } catch (cause) {
      if (tries > 100) throw new Error('swtpm does not listen', { cause });
      await sleep(20);
    }
  }
  return {
    folder,
    port: { transmit: exchange },
    async tool(name, ...args) {
      commands = [];
      const child = spawn(name, args, {
        cwd: folder,
        env: { ...process.env, LC_ALL: 'C', TPM2TOOLS_TCTI: `swtpm:host=127.0.0.1,port=${watched}` },
      });
      let output = '';
      child.stdout.on('data', (bytes) => (output += bytes));
      child.stderr.on('data', (bytes) => (output += bytes));
      const code = await new Promise((resolve) => child.once('close', resolve));
      if (code !== 0) throw new Error(`${name} ${args.join(' ')}: ${output}`);
      return { output, commands };
    },
    async close() {
      for (const server of servers) server.close();
      swtpm.kill();
      await new Promise((resolve) => swtpm.once('exit', resolve));
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
