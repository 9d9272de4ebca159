import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { RestartableService } from '../../harness/serve-computations.ts';
import { PROGRAMS } from '../programs.ts';
import { inWorld, partiesOf } from '../world.ts';

/** A management service that is there, goes away and comes back. */
export async function services(): Promise<void> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'cocos-s-'));
  const reference = await RestartableService.open(path.join(folder, 'journal.jsonl'));
  try {
    await inWorld({ COCOSAI_SERVICE: reference.address }, async (world) => {
      const parties = await partiesOf(world, PROGRAMS.good);
      await world.reaches('service', /^attached\.live$/);
      await reference.current.close();
      await world.publishes(
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

/** Managers that are stopped while their service is away, and while it does not answer. */
export async function absentServices(): Promise<void> {
  const taken: net.Socket[] = [];
  const silent = net.createServer((socket) => taken.push(socket)).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const address = silent.address();
  const port = typeof address === 'object' ? address?.port : 0;
  try {
    await inWorld({ COCOSAI_SERVICE: `tcp:127.0.0.1:${port}` }, async (world) => {
      await world.reaches('service', /^backingOff$/);
      await world.reaches('service', /^connecting$/);
    });
    // By then a pause is long enough to be found in it.
    const isPaused = (attempts: unknown) => typeof attempts === 'number' && attempts >= 4;
    await inWorld({ COCOSAI_SERVICE: 'tcp:127.0.0.1:1' }, async (world) => {
      await world.finds(
        'service',
        ({ state, context }) => state === 'backingOff' && isPaused(context['attempts']),
      );
    });
  } finally {
    for (const socket of taken) socket.destroy();
    silent.close();
  }
}
