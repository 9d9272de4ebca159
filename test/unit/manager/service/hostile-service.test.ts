import { once } from 'node:events';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { parseAddress } from '../../../../src/rpc/address.ts';
import { bindServer } from '../../../../src/rpc/bind.ts';
import {
  ComputationManagementServiceService,
  type ConnectRequest,
  type ConnectResponse,
} from '../../../../src/rpc/gen/cocosai/service/v1/service.ts';
import { eventually } from '../../../harness/eventually.ts';
import { eventTo, type ManagerSide, makeWorld, manifest, NO_TLS, type World } from './client-world.ts';

type Message = NonNullable<ConnectResponse['message']>;

const welcome: Message = { $case: 'welcome', value: { protocolVersion: 1, serviceId: 's' } };

const run = (manifestJson: string, name = ''): Message => ({
  $case: 'run',
  value: {
    computationId: 'c1',
    manifestJson,
    wishes: { name, mode: '', platform: '', vcpus: 0, memoryMib: 0 },
  },
});

/** The manager's side with one event of `c1` in its outbox, against a service that says what the test wants. */
let world: World;
beforeEach(async () => {
  world = await makeWorld();
});
afterEach(() => world.close());

interface Heard {
  readonly manager: ManagerSide;
  readonly messages: NonNullable<ConnectRequest['message']>[];
}

async function meet(says: readonly Message[], onRun = vi.fn(() => Promise.resolve('e1'))): Promise<Heard> {
  const messages: NonNullable<ConnectRequest['message']>[] = [];
  const connect = (call: ServerDuplexStream<ConnectRequest, ConnectResponse>) => {
    call.on('data', ({ message }: ConnectRequest) => {
      if (message !== undefined) messages.push(message);
    });
    call.on('end', () => call.end()).on('error', () => undefined);
    for (const message of says) call.write({ message });
  };
  const bound = await bindServer({
    address: parseAddress('tcp:127.0.0.1:0'),
    tls: NO_TLS,
    services: [{ definition: ComputationManagementServiceService, handlers: { connect } }],
  });
  closing.push(() => bound.close());
  const address = parseAddress(bound.address);
  const manager = await world.openManager({ address, onRun, heartbeatMs: 100, jitter: () => 60_000 });
  await manager.outbox.append('c1', eventTo('s'));
  return { manager, messages };
}

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

describe('a service', () => {
  it.each<[string, Message[], string]>([
    [
      'speaks another version',
      [{ $case: 'welcome', value: { protocolVersion: 2, serviceId: 's' } }],
      'SERVICE_PROTOCOL',
    ],
    [
      'asks for something before its welcome',
      [{ $case: 'stop', value: { computationId: 'c1' } }, welcome],
      'SERVICE_PROTOCOL',
    ],
    ['sends two welcomes', [welcome, welcome], 'SERVICE_PROTOCOL'],
    [
      'acknowledges an event that was not made',
      [welcome, { $case: 'acknowledgement', value: { computationId: 'c1', sequence: 9 } }],
      'SERVICE_PROTOCOL',
    ],
    [
      'acknowledges an event of a computation that is unknown',
      [welcome, { $case: 'acknowledgement', value: { computationId: 'none', sequence: 1 } }],
      'SERVICE_PROTOCOL',
    ],
    ['falls silent before its welcome', [], 'SERVICE_UNAVAILABLE'],
    ['falls silent after its welcome', [welcome], 'SERVICE_UNAVAILABLE'],
  ])('that %s is left, and nothing of the outbox is', async (_, says, code) => {
    const { manager } = await meet(says);
    await eventually(() => expect(manager.client.state).toBe('backingOff'));
    expect(manager.client.context.cause?.code).toBe(code);
    expect(manager.outbox.unacknowledged(null, 10).map(({ sequence }) => sequence)).toEqual([1]);
  });

  it.each<[string, Message[], string, number]>([
    ['a manifest that is not JSON', [run('{')], 'MANIFEST_INVALID', 0],
    ['a manifest that is none', [run('{}')], 'MANIFEST_INVALID', 0],
    ['the manifest of another computation', [run(JSON.stringify(manifest('c2')))], 'MANIFEST_INVALID', 0],
    [
      'another manifest under the same id',
      [run(JSON.stringify(manifest('c1'))), run(JSON.stringify(manifest('c1', 'other')))],
      'RUN_CONFLICT',
      1,
    ],
    [
      'other wishes under the same id',
      [run(JSON.stringify(manifest('c1'))), run(JSON.stringify(manifest('c1')), 'other')],
      'RUN_CONFLICT',
      1,
    ],
    [
      'a stop of what was never run',
      [{ $case: 'stop', value: { computationId: 'c1' } }],
      'ENCLAVE_NOT_FOUND',
      0,
    ],
  ])('that sends %s is refused by name', async (_, says, code, runs) => {
    const onRun = vi.fn(() => Promise.resolve('e1'));
    const { messages } = await meet([welcome, ...says], onRun);
    const refusals = () =>
      messages.flatMap((message) =>
        (message.$case === 'runAnswer' || message.$case === 'stopAnswer') &&
        message.value.outcome?.$case === 'refused'
          ? [message.value.outcome.value.code]
          : [],
      );
    await eventually(() => expect(refusals()).toEqual([code]));
    expect(onRun).toHaveBeenCalledTimes(runs);
  });

  it('may ask again for a run that failed', async () => {
    const onRun = vi.fn(() => Promise.resolve('e1')).mockRejectedValueOnce(new Error('no disk'));
    const ask = run(JSON.stringify(manifest('c1')));
    const { messages } = await meet([welcome, ask, ask], onRun);
    const outcomes = () =>
      messages.flatMap((message) => (message.$case === 'runAnswer' ? [message.value.outcome?.$case] : []));
    await eventually(() => expect(outcomes()).toEqual(['refused', 'accepted']));
  });
});

describe('a flood of bad requests', () => {
  it('a service that reads no answers is read no further once its answers wait, and is left as silent', async () => {
    const TOTAL = 20_000;
    let written = 0;
    const connect = async (call: ServerDuplexStream<ConnectRequest, ConnectResponse>) => {
      call.on('error', () => undefined);
      call.write({ message: welcome });
      // No listener for data: nothing that the manager sends is read.
      // Each answer repeats the id, so that the answers soon fill what the transport buffers.
      const value = { computationId: 'c'.repeat(4_000), manifestJson: 'x', wishes: undefined };
      while (written < TOTAL && !call.destroyed && !call.cancelled) {
        written += 1;
        if (!call.write({ message: { $case: 'run', value } })) await once(call, 'drain');
      }
    };
    const bound = await bindServer({
      address: parseAddress('tcp:127.0.0.1:0'),
      tls: NO_TLS,
      services: [
        {
          definition: ComputationManagementServiceService,
          handlers: {
            connect: (call: ServerDuplexStream<ConnectRequest, ConnectResponse>) => void connect(call),
          },
        },
      ],
    });
    closing.push(() => bound.close());
    const address = parseAddress(bound.address);
    const manager = await world.openManager({ address, heartbeatMs: 100, jitter: () => 60_000 });
    await eventually(() => expect(manager.client.state).toBe('backingOff'));
    expect(manager.client.context.cause?.code).toBe('SERVICE_UNAVAILABLE');
    expect(written).toBeLessThan(TOTAL / 2);
  });

  it('a service that sends heartbeats which nobody asked for is read no faster than its share of the time allows', async () => {
    const TOTAL = 16_000;
    const begin = performance.now();
    const flood: Message[] = Array.from({ length: TOTAL }, () => ({ $case: 'heartbeat', value: {} }));
    const { messages } = await meet([welcome, ...flood, { $case: 'stop', value: { computationId: 'c1' } }]);
    await eventually(() => expect(messages.map(({ $case }) => $case)).toContain('stopAnswer'));
    // 0.1 ms each in a quarter of the time, beyond the first 100 ms and those that answer the manager's own.
    expect(performance.now() - begin).toBeGreaterThan(5_000);
  });

  it('a service that reads its answers gets all of them, however many requests it sends', async () => {
    const TOTAL = 2_000;
    const answers = { count: 0 };
    const says = Array.from({ length: TOTAL }, () => run('{'));
    const { messages } = await meet([welcome, ...says]);
    await eventually(() => {
      answers.count = messages.filter(({ $case }) => $case === 'runAnswer').length;
      expect(answers.count).toBe(TOTAL);
    });
  });
});
