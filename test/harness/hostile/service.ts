import { once } from 'node:events';
import { appendFileSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import { parseAddress } from '../../../src/rpc/address.ts';
import { bindServer } from '../../../src/rpc/bind.ts';
import {
  ComputationManagementServiceService,
  type ConnectRequest,
  type ConnectResponse,
} from '../../../src/rpc/gen/cocosai/service/v1/service.ts';
import { Seeded } from '../../seeded.ts';

/**
 * A hostile management service, a process of its own: `SEED MANIFEST ATTACKS`. It writes its address. From SIGUSR1 on
 * every stream of a manager is one attack, whose name becomes a line of the file ATTACKS when it is finished.
 */
const random = new Seeded(Number(process.argv[2]));
const manifest: unknown = JSON.parse(readFileSync(process.argv[3] ?? '', 'utf8'));
const attacks = process.argv[4] ?? '';
const ATTACK_MS = 2_000;
const BURST = 64;

type Call = ServerDuplexStream<ConnectRequest, ConnectResponse>;
type Message = NonNullable<ConnectResponse['message']>;

const welcome: Message = { $case: 'welcome', value: { protocolVersion: 1, serviceId: 'hostile' } };
const none = { name: '', mode: '', platform: '', vcpus: 0, memoryMib: 0 };
let made = 0;
/** Computations of this service that may run on the manager. */
const running: string[] = [];

const run = (computationId: string, body: unknown, wishes = none): Message => ({
  $case: 'run',
  value: { computationId, manifestJson: typeof body === 'string' ? body : JSON.stringify(body), wishes },
});
const stop = (computationId: string): Message => ({ $case: 'stop', value: { computationId } });
const acknowledge = (computationId: string, sequence: number): Message => ({
  ...{ $case: 'acknowledgement', value: { computationId, sequence } },
});

function honestRun(): Message {
  if (running.length >= 2) return stop(running.shift() ?? '');
  const id = `hostile-${process.pid}-${made++}`;
  running.push(id);
  return run(id, { ...Object(manifest), id });
}

/** Sends until the stream is closed or the time is over, as fast as the manager takes it. */
async function pour(call: Call, next: () => Message): Promise<void> {
  const end = performance.now() + ATTACK_MS;
  while (isOpen(call) && performance.now() < end) {
    let writable = true;
    for (let count = 0; count < BURST && writable; count++) writable = call.write({ message: next() });
    if (writable) await new Promise((resolve) => setImmediate(resolve));
    else await untilDrained(call);
  }
}

async function untilDrained(call: Call): Promise<void> {
  const over = new AbortController();
  const drained = once(call, 'drain', { signal: over.signal });
  await Promise.race([drained, sleep(100)]);
  over.abort();
  await drained.catch(() => undefined);
}

function isOpen(call: Call): boolean {
  return !call.destroyed && !call.cancelled;
}

const great = JSON.stringify({ ...Object(manifest), name: 'x'.repeat(3_900_000) });
const nested = '['.repeat(1_000_000);

/** Attacks in the place of a welcome. */
const OPENINGS: Readonly<Record<string, (call: Call) => Promise<void>>> = {
  silent: () => sleep(ATTACK_MS),
  'other version': async (call) => {
    call.write({ message: { $case: 'welcome', value: { protocolVersion: 9, serviceId: '' } } });
  },
  'two welcomes': async (call) => {
    call.write({ message: welcome });
    call.write({ message: welcome });
  },
};

/** Attacks after the welcome, as many on one stream as the manager puts up with. */
const ATTACKS: Readonly<Record<string, (call: Call) => Promise<void>>> = {
  'runs and stops': async (call) => {
    const end = performance.now() + ATTACK_MS;
    while (isOpen(call) && performance.now() < end) {
      call.write({ message: honestRun() });
      await sleep(500);
    }
  },
  'bad runs': (call) => pour(call, () => run(`c${random.below(1e9)}`, '{')),
  'bad runs, unread': async (call) => {
    call.pause();
    await pour(call, () => run('c'.repeat(4_000), '{'));
    call.resume();
  },
  'great runs': (call) => pour(call, () => run('great', great)),
  'nested runs': (call) => pour(call, () => run('nested', nested)),
  'greedy runs': (call) =>
    pour(call, () => {
      const id = `greedy-${random.below(1e9)}`;
      const most = { vcpus: 4_000_000_000, memoryMib: 4_000_000_000 };
      const wishes = {
        name: 'x'.repeat(random.below(200)),
        mode: random.pick(['vm', 'x']),
        platform: random.pick(['', 'tdx', 'x']),
        ...most,
      };
      return run(id, { ...Object(manifest), id }, wishes);
    }),
  'stops of others': (call) => pour(call, () => stop(random.pick(['test', 'none', '../x']))),
  heartbeats: (call) => pour(call, () => ({ $case: 'heartbeat', value: {} })),
  acknowledgements: (call) =>
    pour(call, () => acknowledge(running.length > 0 ? random.pick(running) : 'none', random.below(5))),
};

/** Acknowledges what the manager reports, and answers its heartbeats. */
function read(call: Call): void {
  call.on('data', ({ message }: ConnectRequest) => {
    if (message?.$case === 'heartbeat') call.write({ message: { $case: 'heartbeat', value: {} } });
    if (message?.$case !== 'event') return;
    const { computationId, sequence } = message.value;
    call.write({ message: acknowledge(computationId, sequence) });
  });
}

const openings = Object.entries(OPENINGS);
const names = Object.entries(ATTACKS);
let streams = 0;
let turn = 0;
let isHostile = false;
const peaceful = new Set<Call>();

async function attack(call: Call): Promise<void> {
  const done = (name: string) => appendFileSync(attacks, `${name}\n`);
  const [opening, begin] = openings[streams++ % (3 * openings.length)] ?? [];
  if (opening !== undefined && begin !== undefined) {
    await begin(call);
    return done(opening);
  }
  call.write({ message: welcome });
  read(call);
  while (isOpen(call)) {
    const [name, pursue] = names[turn++ % names.length] ?? [];
    if (name === undefined || pursue === undefined) return;
    await pursue(call);
    done(name);
  }
}

const connect = (call: Call) => {
  call.on('error', () => undefined).on('end', () => call.end());
  call.setMaxListeners(0);
  if (isHostile) {
    void attack(call)
      .catch(() => undefined)
      .then(() => call.end());
    return;
  }
  peaceful.add(call);
  call.write({ message: welcome });
  read(call);
};
process.on('SIGUSR1', () => {
  isHostile = true;
  for (const call of peaceful) call.end();
});
const bound = await bindServer({
  address: parseAddress('tcp:127.0.0.1:0'),
  tls: { certificate: undefined, key: undefined, authority: undefined },
  services: [{ definition: ComputationManagementServiceService, handlers: { connect } }],
});
console.log(bound.address);
process.on('SIGTERM', () => process.exit(0));
