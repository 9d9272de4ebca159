import type { Duplex } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { memoryTransport } from '../../../src/link/transport/memory.ts';
import { PORTS, type Transport } from '../../../src/link/transport/transport.ts';
import { callbackAgent, callbackHost } from '../../../src/link/wire/callback.ts';

/** A guest whose dials to its host are refused, as with a host whose kernel has the vsock device. */
function guestWithoutDial(network: Transport): Transport {
  return {
    listen: network.listen,
    connect: () => Promise.reject(new Error('refused')),
  };
}

function once(stream: Duplex): Promise<string> {
  return new Promise((resolve) => stream.once('data', (chunk: Buffer) => resolve(chunk.toString())));
}

describe('the callback transport', () => {
  it('uses the host’s call when the agent’s own dial is refused', async () => {
    const network = memoryTransport();
    const agent = await callbackAgent(guestWithoutDial(network));
    const host = callbackHost(network);
    const arrived: Duplex[] = [];
    const listener = await host.listen(PORTS.link, (stream) => {
      arrived.push(stream);
      stream.write('from the host');
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    const stream = await agent.connect(PORTS.link);
    expect(await once(stream)).toBe('from the host');
    stream.write('from the agent');
    const [atHost] = arrived;
    if (atHost === undefined) throw new Error('the host called nobody');
    expect(await once(atHost)).toBe('from the agent');
    await listener.close();
    await agent.close();
  });

  it('calls again after a connection has ended', async () => {
    const network = memoryTransport();
    const agent = await callbackAgent(guestWithoutDial(network));
    const listener = await callbackHost(network).listen(PORTS.report, (stream) => stream.resume());
    await new Promise((resolve) => setTimeout(resolve, 20));
    (await agent.connect(PORTS.report)).destroy();
    await expect
      .poll(
        () =>
          agent.connect(PORTS.report, { timeoutMs: 50 }).then(
            () => true,
            () => false,
          ),
        { timeout: 2_000 },
      )
      .toBe(true);
    await listener.close();
    await agent.close();
  });

  it('fails with a code when the host neither answers nor calls', async () => {
    const agent = await callbackAgent(guestWithoutDial(memoryTransport()));
    await expect(agent.connect(PORTS.link, { timeoutMs: 50 })).rejects.toMatchObject({
      code: 'VSOCK_CONNECT',
    });
    await agent.close();
  });

  it('delegates other ports to the underlying transport', async () => {
    const network = memoryTransport();
    const agent = await callbackAgent(network);
    await agent.listen(PORTS.participants, (stream) => stream.write('hello'));
    expect(await once(await network.connect(PORTS.participants))).toBe('hello');
    await agent.close();
  });
});
