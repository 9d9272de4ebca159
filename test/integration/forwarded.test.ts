import { once } from 'node:events';
import net from 'node:net';
import { expect, it } from 'vitest';
import { makeParties, PROCESS_REFERENCE, show, startSystem, succeeded } from '../harness/system.ts';

/** Forwards a port of this machine to a socket, as `ssh -L` does. */
async function forward(socket: string): Promise<{ readonly address: string; close(): Promise<void> }> {
  const open = new Set<net.Socket>();
  const server = net.createServer((near) => {
    const far = net.connect(socket);
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(one);
      one.on('error', () => undefined).on('close', () => other.destroy());
      one.pipe(other);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  return {
    address: `tcp:127.0.0.1:${address.port}`,
    close: async () => {
      for (const each of open) each.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

it('a party at the end of forwarded ports sends, runs and gets its result', async () => {
  const system = await startSystem({ COCOSAI_MODE: 'process', COCOSAI_RELAY: 'tcp' });
  const manager = await forward(system.file('run', 'manager.sock'));
  try {
    const parties = await makeParties(system, {
      algorithm: 'open("/cocos/results/answer", "w").write("42")\n',
      datasets: {},
      reference: PROCESS_REFERENCE,
    });
    succeeded(await system.cli('enclave', 'create', 'job', '--manifest', parties.manifest));
    expect((await show(system, 'job')).context['relayAddress']).toMatch(/^tcp:127\.0\.0\.1:\d+$/);
    const remote = async (...args: string[]) =>
      succeeded(await system.cli(...args, '--manager', manager.address));
    await remote('algo', 'job', system.file('algorithm'), ...parties.trust('provider'));
    await remote('run', 'job', ...parties.trust('consumer'));
    await remote('result', 'get', 'job', '--out', system.file('result'), ...parties.trust('consumer'));
  } finally {
    await manager.close();
    expect(await system.stop()).toBe(0);
  }
});
