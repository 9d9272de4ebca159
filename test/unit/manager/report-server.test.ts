import type { Duplex } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { memoryTransport } from '../../../src/link/transport/memory.ts';
import { PORTS } from '../../../src/link/transport/transport.ts';
import { requestReport } from '../../../src/link/wire/report-protocol.ts';
import { reportServer } from '../../../src/manager/enclaves/report-server.ts';
import { vmLog } from '../../fakes/emulated-host.ts';

const none = new Uint8Array(32);

async function serve(report: () => Uint8Array) {
  const network = memoryTransport();
  const unused = () => {
    throw new Error('not asked for');
  };
  const processor = { report, certificates: [], derivedKey: unused };
  const server = reportServer({ launchLog: vmLog, measurement: none, hostData: none, processor });
  await network.listen(PORTS.report, server);
  return () => network.connect(PORTS.report);
}

describe('the report port', () => {
  it('keeps 512 connections of a guest that ask for nothing yet, and answers again when one of them ends', async () => {
    const connect = await serve(() => none);
    const silent: Duplex[] = [];
    while (silent.length < 512) silent.push(await connect());
    await expect(requestReport(await connect(), new Uint8Array(64))).rejects.toMatchObject({
      code: 'LINK_LOST',
    });
    silent[0]?.destroy();
    await expect
      .poll(async () =>
        requestReport(await connect(), new Uint8Array(64)).then(
          () => true,
          () => false,
        ),
      )
      .toBe(true);
    for (const stream of silent) stream.destroy();
  });
});
