import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type CuttingRelay, cutRelay } from '../harness/cutting-relay.ts';
import {
  type CliResult,
  collect,
  makeParties,
  type Parties,
  PROCESS_REFERENCE,
  processesWith,
  type System,
  startSystem,
} from '../harness/system.ts';

/** Inputs on their way through a relay that breaks, alters, or outlives its participants. */

const MIB = 2 ** 20;
const SIZE = 24 * MIB;
const CUT_AT = 10 * MIB;

const Actor = z.looseObject({ address: z.string(), context: z.looseObject({ relayAddress: z.string() }) });
const Inputs = z.looseObject({
  state: z.string(),
  context: z.looseObject({ inputs: z.record(z.string(), z.looseObject({ status: z.string() })) }),
});

function succeeded(result: CliResult): CliResult {
  expect(result.code, result.stderr).toBe(0);
  return result;
}

describe('an upload', () => {
  let system: System;
  let parties: Parties;
  let address: string;
  let relay: CuttingRelay | undefined;

  beforeAll(async () => {
    system = await startSystem({ COCOSAI_MODE: 'process' });
    parties = await makeParties(system, {
      algorithm: 'pass\n',
      datasets: { big: randomBytes(SIZE / 2).toString('hex') },
      reference: PROCESS_REFERENCE,
    });
  });

  beforeEach(async () => {
    succeeded(await system.cli('enclave', 'create', 'job', '--manifest', parties.manifest));
    const shown = succeeded(await system.cli('enclave', 'show', 'job', '-o', 'json'));
    ({ address } = Actor.parse(shown.json[0]));
  });

  afterEach(async () => {
    await relay?.close();
    relay = undefined;
    succeeded(await system.cli('enclave', 'remove', 'job'));
  });

  afterAll(async () => {
    const { folder } = system;
    expect(await system.stop()).toBe(0);
    expect(processesWith(folder)).toEqual([]);
  });

  const upload = () => ['data', 'job', 'big', system.file('big'), ...parties.trust('provider')];

  async function between(options: Parameters<typeof cutRelay>[1]): Promise<CuttingRelay> {
    const shown = succeeded(await system.cli('actors', 'show', address, '-o', 'json'));
    const { relayAddress } = Actor.parse(shown.json[0]).context;
    relay = await cutRelay(relayAddress.replace(/^unix:/, ''), options);
    return relay;
  }

  async function inputState(): Promise<string | undefined> {
    const shown = succeeded(await system.cli('actors', 'show', `${address}/computation`, '-o', 'json'));
    return Inputs.parse(shown.json[0]).context.inputs['big']?.status;
  }

  it('continues after an interruption with the segments that the enclave lacks', async () => {
    const { sent } = await between({ cutAt: CUT_AT });
    succeeded(await system.cli(...upload()));
    expect(await inputState()).toBe('committed');
    expect(sent.length).toBeGreaterThan(1);
    const total = sent.reduce((sum, bytes) => sum + bytes, 0);
    // What was in flight at the cut is sent again, and no more.
    expect(total).toBeGreaterThan(SIZE);
    expect(total).toBeLessThan(SIZE + 6 * MIB);
  });

  it('continues in another session after its sender was killed', async () => {
    const { sent, reached } = await between({});
    const first = system.spawnCli(...upload());
    const ended = once(first, 'exit');
    await reached(CUT_AT);
    first.kill('SIGKILL');
    await ended;
    expect(await inputState()).toBe('receiving');
    const before = sent.reduce((sum, bytes) => sum + bytes, 0);
    succeeded(await collect(system.spawnCli(...upload())));
    expect(await inputState()).toBe('committed');
    const after = sent.reduce((sum, bytes) => sum + bytes, 0) - before;
    expect(after).toBeLessThan(SIZE - CUT_AT + 6 * MIB);
  });

  it.each([
    ['the bulk stream', []],
    ['gRPC', ['--grpc-only']],
  ])(
    'compressed goes over %s in fewer bytes, also when it is cut, and is the same input',
    async (_path, options) => {
      // The text is hex: half of it is air.
      const { sent } = await between({ cutAt: 4 * MIB });
      const result = succeeded(await system.cli(...upload(), '--compress', ...options, '-o', 'json'));
      expect(result.json).toContainEqual(expect.objectContaining({ input: 'big', size: SIZE }));
      expect(await inputState()).toBe('committed');
      expect(sent.length).toBeGreaterThan(1);
      expect(sent.reduce((sum, bytes) => sum + bytes, 0)).toBeLessThan(0.8 * SIZE);
    },
  );

  it('is refused with a code if altered in transit, changes nothing, and can be sent again', async () => {
    await between({ flipAt: CUT_AT });
    const altered = await system.cli(...upload());
    expect(altered).toMatchObject({ code: 2, stderr: expect.stringMatching(/^CRYPTO_OPEN_FAILED/m) });
    expect(await inputState()).toBe('receiving');
    succeeded(await system.cli(...upload()));
    expect(await inputState()).toBe('committed');
  });
});
