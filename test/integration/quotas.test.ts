import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  makeParties,
  type Parties,
  PROCESS_REFERENCE,
  type System,
  startSystem,
  succeeded,
} from '../harness/system.ts';

/** Quotas that the parties wrote into their manifest, with real programs. */

describe('a participant', () => {
  let system: System;
  let parties: Parties;

  beforeAll(async () => {
    system = await startSystem({ COCOSAI_MODE: 'process' });
    parties = await makeParties(system, {
      algorithm: 'pass\n',
      datasets: { first: 'a'.repeat(600_000), second: 'b'.repeat(600_000), small: 'c' },
      reference: PROCESS_REFERENCE,
      manifest: ['--limit', 'participantMiB=1'],
    });
    succeeded(await system.cli('enclave', 'create', 'job', '--manifest', parties.manifest));
  });

  afterAll(async () => {
    expect(await system.stop()).toBe(0);
  });

  const send = (input: string) =>
    system.cli('data', 'job', input, system.file(input), ...parties.trust('provider'));

  it('cannot exceed its quota, and its other transfers continue', async () => {
    succeeded(await send('first'));
    const refused = await send('second');
    expect(refused).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^QUOTA_EXCEEDED: .*participantBytes/m),
    });
    succeeded(await send('small'));
  });

  it('sees the quotas of its manifest', async () => {
    expect(succeeded(await system.cli('manifest', 'show', parties.manifest)).stdout).toMatch(
      /^limits\.participantMiB +1$/m,
    );
  });
});
