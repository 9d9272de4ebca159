import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { restartManager } from '../../harness/system.ts';
import { ChangingAgent } from '../agents.ts';
import { inWorld, type World } from '../world.ts';

/** Enclaves that are stopped, lost, taken over and killed. */
export function enclaves(): Promise<unknown> {
  return inWorld({}, async (world) => {
    const calm = await world.ready('calm');
    const silent = async (name: string) => {
      const address = await world.ready(name);
      await world.signal(address, 'SIGSTOP');
      await world.reaches(address, /^alive\.unreachable$/);
      return address;
    };
    const back = async () => {
      const address = await silent('back');
      await world.signal(address, 'SIGCONT');
      await world.reaches(address, /^alive\.ready$/);
      await world.signal(address, 'SIGKILL');
      await world.reaches(address, /^failed\.settled$/);
    };
    const lost = async () => {
      const address = await silent('lost');
      await world.signal(address, 'SIGKILL');
      await world.reaches(address, /^failed\.settled$/);
    };
    const gone = async () => {
      const address = await silent('gone');
      await world.stop(address);
      await world.reaches(address, /^stopped\.settled$/);
    };
    await Promise.all([back(), lost(), gone()]);
    await restartManager(world.system);
    await world.reaches(calm, /^alive\.ready$/);
    await world.stop(calm);
    await world.reaches(calm, /^stopped\.settled$/);
    await world.control.remove(calm);
  });
}

/** Each kind of agent that does not do its part, and how far its enclave comes before something happens to it. */
const FAILING: Readonly<Record<string, (world: World, address: string) => Promise<void>>> = {
  mute: (world, address) => whileIn(world, address, /booting/, 'SIGKILL'),
  dumb: (world, address) => whileIn(world, address, /connected/, 'SIGKILL'),
  gone: () => Promise.resolve(),
  leaving: () => Promise.resolve(),
  refusing: () => Promise.resolve(),
  rebooting: () => Promise.resolve(),
  babbling: () => Promise.resolve(),
  panicking: () => Promise.resolve(),
  stuck: () => Promise.resolve(),
  parted: () => Promise.resolve(),
  'parted-dumb': () => Promise.resolve(),
};

/** Kinds that are asked to stop, and where. */
const STOPPED: Readonly<Record<string, RegExp>> = {
  mute: /booting/,
  dumb: /connected/,
  'panicking-late': /ready/,
  'stuck-late': /ready/,
};

/** Kinds that are not ready in time. */
const LATE = ['mute', 'dumb'] as const;

/** Agents that do not do their part. */
export async function oddAgents(): Promise<void> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'cocos-o-'));
  const agent = new ChangingAgent(folder);
  const settings = { COCOSAI_AGENT: agent.program, COCOSAI_BOOT_SECONDS: '15' };
  try {
    await inWorld(settings, async (world) => {
      const missing = await world.create('missing', null);
      await world.reaches(missing, /^failed\.settled$/);
      const begin = async (kind: string, name: string) => {
        agent.becomeOdd(kind);
        const address = await world.create(name, null);
        // Until it has read the program, which is the next one's after.
        await world.finds(address, ({ context }) => hasBegun(context['logFile'], kind));
        return address;
      };
      const ends: Promise<void>[] = [];
      for (const [kind, meddle] of Object.entries(FAILING)) {
        const address = await begin(kind, kind);
        ends.push(meddle(world, address).then(() => world.reaches(address, /^failed\.settled$/)));
      }
      for (const [kind, where] of Object.entries(STOPPED)) {
        const address = await begin(kind, `${kind}-stopped`);
        ends.push(
          world
            .reaches(address, where)
            .then(() => world.stop(address))
            .then(() => world.reaches(address, /^stopped\.settled$/)),
        );
      }
      for (const kind of LATE) {
        const address = await begin(kind, `${kind}-late`);
        ends.push(world.reaches(address, /^failed\.settled$/));
      }
      await Promise.all(ends);
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function hasBegun(logFile: unknown, kind: string): boolean {
  if (typeof logFile !== 'string' || !existsSync(logFile)) return false;
  return readFileSync(logFile, 'utf8').includes(`odd ${kind}\n`);
}

async function whileIn(world: World, address: string, state: RegExp, signal: NodeJS.Signals): Promise<void> {
  await world.reaches(address, state);
  await world.signal(address, signal);
}
