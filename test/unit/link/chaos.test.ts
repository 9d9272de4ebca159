import { describe, expect, it } from 'vitest';
import { brokenAck } from '../../chaos/broken-ack.ts';
import { runChaos, shrinkChaos } from '../../chaos/link-chaos.ts';

const SEED = Number(process.env['COCOSAI_SEED'] ?? 1);
const RUNS = 50;

describe('a link under chaos', () => {
  it(`loses nothing, applies nothing twice and upholds the mirror law in ${RUNS} runs from seed ${SEED}`, async () => {
    const total = { events: 0, commands: 0, faults: 0 };
    for (let run = 0; run < RUNS; run++) {
      const report = await runChaos({ seed: SEED + run });
      expect(report.findings, `seed ${report.seed}`).toEqual([]);
      total.events += report.events;
      total.commands += report.commands;
      for (const count of Object.values(report.faults)) total.faults += count;
    }
    // A run without faults proves nothing.
    expect(total.events).toBeGreaterThan(10 * RUNS);
    expect(total.commands).toBeGreaterThan(RUNS);
    expect(total.faults).toBeGreaterThan(5 * RUNS);
  });

  it('behaves identically for the same seed', async () => {
    const seed = SEED + 7;
    expect(await runChaos({ seed })).toEqual(await runChaos({ seed }));
  });

  it(`reveals a broken acknowledgement within ${RUNS} runs, with a minimal reproduction`, async () => {
    for (let run = 0; run < RUNS; run++) {
      const options = { seed: SEED + run, tamper: brokenAck };
      const report = await runChaos(options);
      if (report.findings.length === 0) continue;
      const shrunk = await shrinkChaos(options, report);
      expect(shrunk.findings.length).toBeGreaterThan(0);
      expect(shrunk.steps).toBeLessThanOrEqual(report.steps);
      // The only fault is the acknowledgement.
      expect((await runChaos({ seed: report.seed })).findings).toEqual([]);
      return;
    }
    expect.unreachable('the broken acknowledgement was not noticed');
  });
});
