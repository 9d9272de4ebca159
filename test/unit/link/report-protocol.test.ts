import { expect, it } from 'vitest';
import { memoryPair } from '../../../src/link/transport/memory.ts';
import { prefixLength } from '../../../src/link/wire/frame.ts';
import { MAX_REPORT_MESSAGE, readMessage } from '../../../src/link/wire/report-protocol.ts';

it('a message on the report port with more values than any request has is refused', async () => {
  const [near, far] = memoryPair();
  const count = MAX_REPORT_MESSAGE - 100;
  const head = Buffer.from([0xdd, 0, 0, 0, 0]);
  head.writeUInt32BE(count, 1);
  far.write(prefixLength(Buffer.concat([head, Buffer.alloc(count, 0x80)]), MAX_REPORT_MESSAGE));
  await expect(readMessage(near)).rejects.toMatchObject({ code: 'FRAME_INVALID' });
});
