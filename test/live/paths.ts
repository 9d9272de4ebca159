import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { z } from 'zod';
import { ComputationStatus, TransferOpened } from '../../src/rpc/sealed.ts';
import { cutRelay } from '../harness/cutting-relay.ts';
import { RestartableService } from '../harness/serve-computations.ts';
import { ROOT, restartManager, succeeded } from '../harness/system.ts';
import { type LiveParties, oddAgent, partiesOf, type Told, World, withManifest } from './world.ts';

/** The paths of the models, gone by a real manager and real agents in process mode. Gives what they told of. */
export async function walkLive(note: (line: string) => void): Promise<Told[]> {
  const told: Told[] = [];
  const waiting = sessions();
  for (const [name, walk] of Object.entries({ computations, transfers, enclaves, oddAgents, service })) {
    const begin = performance.now();
    told.push(...(await walk()));
    note(`${name}: ${((performance.now() - begin) / 1000).toFixed(0)} s`);
  }
  return [...told, ...(await waiting)];
}

/** A short set of the paths, gone by a manager and its agents in virtual machines. */
export function walkVirtualMachines(): Promise<Told[]> {
  return inWorld({ COCOSAI_MODE: 'vm' }, async (world) => {
    const parties = await partiesOf(world, PROGRAMS.good, { reference: VM_REFERENCE });
    const job = await world.create('job', parties.manifest);
    const killed = await world.create('killed', null);
    await Promise.all([world.reaches(job, /^alive\.ready$/), world.reaches(killed, /^alive\.ready$/)]);
    const { system } = world;
    const provider = parties.trust('provider');
    succeeded(await system.cli('algo', 'job', parties.file('algorithm'), ...provider));
    succeeded(await system.cli('data', 'job', 'one', parties.file('one'), ...provider));
    const out = system.file('job.cocos');
    succeeded(await system.cli('run', 'job', ...parties.trust('consumer')));
    succeeded(await system.cli('result', 'get', 'job', '--out', out, ...parties.trust('consumer')));
    process.kill(await world.pid(killed), 'SIGSTOP');
    await world.reaches(killed, /^alive\.unreachable$/);
    process.kill(await world.pid(killed), 'SIGCONT');
    await world.reaches(killed, /^alive\.ready$/);
    process.kill(await world.pid(killed), 'SIGKILL');
    await world.reaches(killed, /^failed\.settled$/);
    await restartManager(system);
    await world.reaches(job, /^alive\.ready$/);
    await world.control.send(job, { type: 'enclave.stop' });
    await world.reaches(job, /^stopped\.settled$/);
  });
}

const PROCESS = { COCOSAI_MODE: 'process', COCOSAI_MAX_ENCLAVES: '64' };

const VM_REFERENCE = path.join(ROOT, 'build/eos/reference-values.json');

const PROGRAMS = {
  good: 'import os\nopen(os.path.join(os.environ["COCOS_RESULTS"], "out"), "w").write("2")\n',
  bad: 'raise SystemExit(3)\n',
  slow: 'import time\ntime.sleep(60)\n',
  /** A result that takes a while to seal. */
  large:
    'import os\nopen(os.path.join(os.environ["COCOS_RESULTS"], "out"), "wb").write(os.urandom(1 << 27))\n',
};

async function inWorld(settings: NodeJS.ProcessEnv, walk: (world: World) => Promise<void>): Promise<Told[]> {
  const world = await World.open({ ...PROCESS, ...settings });
  try {
    await walk(world);
  } finally {
    await world.close();
  }
  return world.told;
}

/** Every end of a computation, and every stop. */
function computations(): Promise<Told[]> {
  return inWorld({}, async (world) => {
    const { system } = world;
    const stop = (address: string) =>
      world.control.send(`${address}/computation`, { type: 'computation.stop' });
    const feed = async (name: string, parties: LiveParties) => {
      succeeded(await system.cli('algo', name, parties.file('algorithm'), ...parties.trust('provider')));
      succeeded(await system.cli('data', name, 'one', parties.file('one'), ...parties.trust('provider')));
    };
    const begin = async (name: string, parties: LiveParties) => {
      const address = await world.create(name, parties.manifest);
      await world.reaches(address, /^alive\.ready$/);
      return address;
    };

    const good = await partiesOf(world, PROGRAMS.good);
    const both = await partiesOf(world, PROGRAMS.good, { consumers: ['provider'] });
    const held = withManifest(both, 'held', { start: [manifestOf(both).algorithm.provider] });
    await begin('good', both);
    await feed('good', both);
    for (const consumer of ['consumer', 'provider']) {
      const out = system.file(`${consumer}.cocos`);
      succeeded(await system.cli('result', 'get', 'good', '--out', out, ...both.trust(consumer)));
    }
    const ready = await begin('ready', held);
    await feed('ready', held);
    await stop(ready);
    await begin('held', held);
    await feed('held', held);
    succeeded(await system.cli('run', 'held', ...held.trust('provider')));
    const stopped = await begin('stopped', good);
    await stop(stopped);
    const kept = await begin('kept', good);
    await feed('kept', good);
    await world.reaches(`${kept}/computation`, /^resultsReady$/);
    await stop(kept);
    // The manifest comes later.
    const later = await world.create('later', null);
    await world.reaches(later, /^alive\.ready$/);
    succeeded(await system.cli('manifest', 'send', 'later', good.manifest));

    const bad = await partiesOf(world, PROGRAMS.bad);
    const failed = await begin('bad', bad);
    await feed('bad', bad);
    await world.reaches(`${failed}/computation`, /^failed$/);

    const slow = await partiesOf(world, PROGRAMS.slow);
    const halted = await begin('halted', slow);
    await feed('halted', slow);
    await world.reaches(`${halted}/computation`, /^running$/);
    await stop(halted);
    const brief = withManifest(slow, 'brief', { limits: { seconds: 1 } });
    const late = await begin('late', brief);
    await feed('late', brief);
    await world.reaches(`${late}/computation`, /^failed$/);

    const large = await partiesOf(world, PROGRAMS.large);
    const sealing = await begin('sealing', large);
    await feed('sealing', large);
    await world.tells(
      'that the result is being sealed',
      ({ address, to }) => address === `${sealing}/computation` && to === 'sealingResults',
    );
    await stop(sealing).catch(() => undefined);
    const narrow = withManifest(large, 'narrow', { limits: { diskMiB: 16 } });
    const full = await begin('full', narrow);
    await feed('full', narrow);
    await world.reaches(`${full}/computation`, /^failed$/);
  });
}

const ManifestText = z.looseObject({
  algorithm: z.looseObject({ provider: z.string(), digest: z.string() }),
});

function manifestOf(parties: LiveParties): z.infer<typeof ManifestText> {
  return ManifestText.parse(JSON.parse(readFileSync(parties.manifest, 'utf8')));
}

/** Uploads that break, are given up, refused, or come with other bytes than declared. */
function transfers(): Promise<Told[]> {
  return inWorld({}, async (world) => {
    const { system } = world;
    const parties = await partiesOf(world, PROGRAMS.good);
    const address = await world.create('job', parties.manifest);
    await world.reaches(address, /^alive\.ready$/);
    const { digest } = manifestOf(parties).algorithm;
    const one = await world.session(address, parties, 'provider', 'algorithm');
    const open = () =>
      one.session.call(
        { method: 'transfer.open', input: 'algorithm', size: PROGRAMS.good.length, digest },
        TransferOpened,
      );
    const abort = (transferId: string) =>
      one.session.call({ method: 'transfer.abort', transferId }, z.null());
    // Given up before its first byte.
    await abort((await open()).transferId);
    // Opened again by a sender that came back, and given up then.
    const first = await open();
    await open();
    await abort(first.transferId);
    await one.session.close();
    one.close();
    // Killed in mid-way, and gone on with.
    const wide = await partiesOf(world, PROGRAMS.good, { one: '1'.repeat(64 * 2 ** 20) });
    const job = await world.create('wide', wide.manifest);
    await world.reaches(job, /^alive\.ready$/);
    const upload = ['data', 'wide', 'one', wide.file('one'), ...wide.trust('provider')];
    const sender = system.spawnCli(...upload);
    const ended = once(sender, 'exit');
    await world.tells(
      "of a transfer's progress",
      (step) =>
        step.machine === 'transfer' && step.event === 'transfer.progress' && step.address.startsWith(job),
    );
    sender.kill('SIGKILL');
    await ended;
    await world.tells(
      'of a suspended transfer',
      (step) => step.to === 'suspended' && step.address.startsWith(job),
    );
    succeeded(await system.cli(...upload));
    // Given up by its participant elsewhere, while it is on its way.
    const other = await begun('given-up');
    const [, transferId] = other.address.split('/transfer/');
    const two = await world.session(other.enclave, wide, 'provider', 'dataset');
    await two.session.call({ method: 'transfer.abort', transferId: transferId ?? '' }, z.null());
    two.close();
    await other.ended;
    // Altered on its way.
    const flipped = await world.create('flipped', wide.manifest);
    await world.reaches(flipped, /^alive\.ready$/);
    const relay = z.string().parse((await world.control.get(flipped)).context['relayAddress']);
    const between = await cutRelay(relay.replace(/^unix:/, ''), { flipAt: 20 * 2 ** 20 });
    await system.cli('data', 'flipped', 'one', wide.file('one'), ...wide.trust('provider'));
    await between.close();

    /** An upload that has begun, in an enclave of its own. */
    async function begun(name: string) {
      const enclave = await world.create(name, wide.manifest);
      await world.reaches(enclave, /^alive\.ready$/);
      const running = system.spawnCli('data', name, 'one', wide.file('one'), ...wide.trust('provider'));
      const over = once(running, 'exit');
      const isMoving = (step: Told) =>
        step.event === 'transfer.progress' && step.address.startsWith(`${enclave}/`);
      await world.tells('of progress', isMoving);
      const address = world.told.find(isMoving)?.address ?? '';
      return { enclave, address, ended: over };
    }
  });
}

/** A session that is used for longer than its use is noted once. */
function sessions(): Promise<Told[]> {
  return inWorld({}, async (world) => {
    const parties = await partiesOf(world, PROGRAMS.good);
    const address = await world.create('long', parties.manifest);
    await world.reaches(address, /^alive\.ready$/);
    const { session, close } = await world.session(address, parties, 'provider', 'dataset');
    await new Promise((resolve) => setTimeout(resolve, 61_000));
    await session.call({ method: 'status' }, ComputationStatus);
    await world.tells('of a used session', (step) => step.event === 'session.used');
    await session.close();
    close();
  });
}

/** Enclaves that are stopped, lost, taken over and killed. */
function enclaves(): Promise<Told[]> {
  return inWorld({}, async (world) => {
    const ready = async (name: string) => {
      const address = await world.create(name, null);
      await world.reaches(address, /^alive\.ready$/);
      return address;
    };
    const stop = (address: string) => world.control.send(address, { type: 'enclave.stop' });
    const silence = async (address: string) => {
      process.kill(await world.pid(address), 'SIGSTOP');
      await world.reaches(address, /^alive\.unreachable$/);
    };
    const [calm, back, lost, gone] = [
      await ready('calm'),
      await ready('back'),
      await ready('lost'),
      await ready('gone'),
    ];
    await Promise.all([silence(back), silence(lost), silence(gone)]);
    process.kill(await world.pid(back), 'SIGCONT');
    await world.reaches(back, /^alive\.ready$/);
    process.kill(await world.pid(lost), 'SIGKILL');
    await world.reaches(lost, /^failed\.settled$/);
    await stop(gone);
    await world.reaches(gone, /^stopped\.settled$/);
    process.kill(await world.pid(back), 'SIGKILL');
    await world.reaches(back, /^failed\.settled$/);
    await restartManager(world.system);
    await world.reaches(calm, /^alive\.ready$/);
    await stop(calm);
    await world.reaches(calm, /^stopped\.settled$/);
    await world.control.remove(calm);
  });
}

/** Agents that do not do their part. */
async function oddAgents(): Promise<Told[]> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'cocos-o-'));
  const told: Told[] = [];
  const stop = (world: World, address: string) => world.control.send(address, { type: 'enclave.stop' });
  const walk = async (kind: string, steps: (world: World) => Promise<void>, settings = {}) => {
    const program = kind === 'missing' ? path.join(folder, 'missing') : oddAgent(folder, kind);
    told.push(...(await inWorld({ COCOSAI_AGENT: program, ...settings }, steps)));
  };
  try {
    await walk('missing', async (world) => {
      await world.reaches(await world.create('missing', null), /^failed\.settled$/);
    });
    await walk(
      'mute',
      async (world) => {
        await world.reaches(await world.create('full', null), /^failed\.settled$/);
      },
      { COCOSAI_MIN_FREE_MIB: '100000000' },
    );
    await walk('mute', async (world) => {
      const [one, two] = [await world.create('one', null), await world.create('two', null)];
      await Promise.all([world.reaches(one, /booting/), world.reaches(two, /booting/)]);
      process.kill(await world.pid(one), 'SIGKILL');
      await world.reaches(one, /^failed\.settled$/);
      await stop(world, two);
      await world.reaches(two, /^stopped\.settled$/);
    });
    await walk('gone', async (world) => {
      await world.reaches(await world.create('gone', null), /^failed\.settled$/);
    });
    await walk('dumb', async (world) => {
      const [one, two] = [await world.create('one', null), await world.create('two', null)];
      await Promise.all([world.reaches(one, /connected/), world.reaches(two, /connected/)]);
      process.kill(await world.pid(one), 'SIGKILL');
      await world.reaches(one, /^failed\.settled$/);
      await stop(world, two);
      await world.reaches(two, /^stopped\.settled$/);
    });
    await walk('leaving', async (world) => {
      const address = await world.create('leaving', null);
      await world.tells('of a lost link', (step) => step.address === address && step.event === 'link.lost');
    });
    await walk('refusing', async (world) => {
      await world.reaches(await world.create('refusing', null), /^failed\.settled$/);
    });
    await walk('rebooting', async (world) => {
      await world.reaches(await world.create('rebooting', null), /^failed\.settled$/);
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return told;
}

/** A management service that is there, goes away and comes back. */
async function service(): Promise<Told[]> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'cocos-s-'));
  const reference = await RestartableService.open(path.join(folder, 'journal.jsonl'));
  try {
    return await inWorld({ COCOSAI_SERVICE: reference.address }, async (world) => {
      const parties = await partiesOf(world, PROGRAMS.good);
      await world.reaches('service', /^attached\.live$/);
      await reference.current.close();
      await world.tells(
        'of a lost service',
        (step) => step.machine === 'service' && step.from === 'connecting' && step.to === 'backingOff',
      );
      await reference.restart();
      await world.reaches('service', /^attached\.live$/);
      await world.create('served', parties.manifest);
    });
  } finally {
    await reference.current.close();
    await rm(folder, { recursive: true, force: true });
  }
}
