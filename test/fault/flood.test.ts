import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PORTS } from '../../src/link/transport/transport.ts';
import { Flood } from '../harness/flood.ts';
import { forgetPeak, peakBytes, residentBytes } from '../harness/memory.ts';
import {
  makeParties,
  type Parties,
  PROCESS_REFERENCE,
  type System,
  show,
  startSystem,
  succeeded,
} from '../harness/system.ts';

/** `npm run bench -- flood` measures the same for a minute, with the time that an upload takes. */

const MIB = 2 ** 20;
const CONNECTIONS = 64;
const SIZE = 16 * MIB;
/** Of the agent's memory. */
const GROWTH_BAR = 64 * MIB;

describe('an honest upload beside 64 silent connections and 64 with unfinished messages', () => {
  let system: System;
  let parties: Parties;
  let pid: number;
  let flood: Flood | null = null;

  beforeEach(async () => {
    system = await startSystem({ COCOSAI_MODE: 'process' });
    parties = await makeParties(system, {
      algorithm: 'pass',
      datasets: { before: 'a'.repeat(SIZE), meanwhile: 'b'.repeat(SIZE) },
      reference: PROCESS_REFERENCE,
    });
    succeeded(await system.cli('enclave', 'create', 'job', '--manifest', parties.manifest));
    pid = Number((await show(system, 'job')).context['pid']);
  });

  afterEach(async () => {
    await flood?.close();
    expect(await system.stop()).toBe(0);
  });

  const upload = async (name: string) =>
    succeeded(await system.cli('data', 'job', name, system.file(name), ...parties.trust('provider')));

  it.each(['the relay', 'the agent itself'])(
    'through %s: it finishes, and the memory of the agent grows by less than 64 MiB',
    async (target) => {
      const { address, context } = await show(system, 'job');
      const relay = String(context['relayAddress']).replace(/^unix:/, '');
      const own = system.file('run', path.basename(address), `${PORTS.participants}.sock`);
      // What the first upload loads and holds is not the flood's.
      await upload('before');
      forgetPeak(pid);
      const before = residentBytes(pid);
      flood = new Flood(target === 'the relay' ? relay : own);
      for (let count = 0; count < CONNECTIONS; count += 1) {
        await flood.silent();
        await flood.unfinished(15 * 1024);
      }
      await upload('meanwhile');
      const { context: computation } = await show(system, `${address}/computation`);
      expect(computation['inputs']).toMatchObject({ meanwhile: { status: 'committed', size: SIZE } });
      expect(peakBytes(pid) - before).toBeLessThan(GROWTH_BAR);
    },
  );
});
