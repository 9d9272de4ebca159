import { mkdirSync } from 'node:fs';
import { succeeded } from '../../harness/system.ts';
import { PROGRAMS } from '../programs.ts';
import {
  idOf,
  inWorld,
  type LiveParties,
  manifestOf,
  partiesOf,
  type World,
  withManifest,
} from '../world.ts';

/** Every end of a computation, and every stop. */
export function computations(): Promise<unknown> {
  return inWorld({}, async (world) => {
    const good = await partiesOf(world, PROGRAMS.good);
    const both = await partiesOf(world, PROGRAMS.good, { consumers: ['provider'] });
    const held = withManifest(both, 'held', { start: [manifestOf(both).algorithm.provider] });
    const slow = await partiesOf(world, PROGRAMS.slow);
    const paused = pausedRun(world, slow);
    await delivered(world, both);
    await stops(world, good, held, slow);
    await failures(world, slow);
    await sealing(world, good);
    await paused;
  });
}

async function delivered(world: World, both: LiveParties): Promise<void> {
  const { system } = world;
  await world.ready('good', both.manifest);
  await world.feed('good', both);
  for (const consumer of ['consumer', 'provider']) {
    const out = system.file(`${consumer}.cocos`);
    succeeded(await system.cli('result', 'get', 'good', '--out', out, ...both.trust(consumer)));
  }
}

/** In every state in which one can be stopped. */
async function stops(world: World, good: LiveParties, held: LiveParties, slow: LiveParties): Promise<void> {
  const { system } = world;
  const ready = await world.ready('ready', held.manifest);
  await world.feed('ready', held);
  await world.stop(`${ready}/computation`);
  await world.ready('held', held.manifest);
  await world.feed('held', held);
  succeeded(await system.cli('run', 'held', ...held.trust('provider')));
  await world.stop(`${await world.ready('stopped', good.manifest)}/computation`);
  const kept = await world.ready('kept', good.manifest);
  await world.feed('kept', good);
  await world.reaches(`${kept}/computation`, /^resultsReady$/);
  await world.stop(`${kept}/computation`);
  const halted = await world.ready('halted', slow.manifest);
  await world.feed('halted', slow);
  await world.reaches(`${halted}/computation`, /^running$/);
  await world.stop(`${halted}/computation`);
  // The manifest comes later.
  await world.ready('later');
  succeeded(await system.cli('manifest', 'send', 'later', good.manifest));
}

async function failures(world: World, slow: LiveParties): Promise<void> {
  const bad = await partiesOf(world, PROGRAMS.bad);
  const brief = withManifest(slow, 'brief', { limits: { seconds: 1 } });
  for (const [name, parties] of Object.entries({ bad, brief })) {
    const address = await world.ready(name, parties.manifest);
    await world.feed(name, parties);
    await world.reaches(`${address}/computation`, /^failed$/);
  }
}

/** The result cannot be sealed, and the computation is stopped while it is. */
async function sealing(world: World, good: LiveParties): Promise<void> {
  const blocked = await world.ready('blocked', good.manifest);
  // In process mode the host owns the agent's folder, and so what is in the way of its files.
  mkdirSync(`/dev/shm/cocosai-${idOf(blocked)}/sealed/result`, { recursive: true });
  await world.feed('blocked', good);
  await world.reaches(`${blocked}/computation`, /^failed$/);
  const large = await partiesOf(world, PROGRAMS.large);
  const address = await world.ready('sealing', large.manifest);
  await world.feed('sealing', large);
  await world.publishes(
    'that the result is being sealed',
    (step) => step.address === `${address}/computation` && step.to === 'sealingResults',
  );
  await world.stop(`${address}/computation`).catch(() => undefined);
}

/** An agent that sleeps through the end of its run and the grace after it, as one of a suspended host does. */
async function pausedRun(world: World, slow: LiveParties): Promise<void> {
  const short = withManifest(slow, 'paused', { limits: { seconds: 10 } });
  const address = await world.ready('paused', short.manifest);
  const pid = await world.pid(address);
  await world.feed('paused', short);
  await world.reaches(`${address}/computation`, /^running$/);
  process.kill(pid, 'SIGSTOP');
  await new Promise((resolve) => setTimeout(resolve, 41_000));
  await world.signal(address, 'SIGCONT');
  await world.reaches(`${address}/computation`, /^failed$/);
}
