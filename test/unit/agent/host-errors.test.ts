import { Duplex } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { serveBulk } from '../../../src/agent/sessions/bulk-server.ts';
import { participantService } from '../../../src/agent/sessions/participant-grpc.ts';
import type { ParticipantService } from '../../../src/agent/sessions/participant-service.ts';
import { CocosError } from '../../../src/errors.ts';
import { decodeAnswer, encodePreface, TICKET_BYTES } from '../../../src/rpc/bulk.ts';

const SECRET = 'row-of-a-dataset';
const fail = () => {
  throw new CocosError('TRANSFER_SIZE_MISMATCH', SECRET, { details: { found: SECRET } });
};
const service = {
  evidence: fail,
  openSession: fail,
  call: fail,
  attachUpload: fail,
  download: fail,
  follow: fail,
} as unknown as ParticipantService;

/** The relay of the host carries these errors in the clear. */
describe('an error outside of a session', () => {
  it.each(['getEvidence', 'call'] as const)('of the gRPC call %s carries its code only', async (name) => {
    const handle = participantService(service, () => undefined)[name] as unknown as (
      call: unknown,
      done: (error: { readonly details: string; readonly metadata: { toJSON(): unknown } }) => void,
    ) => void;
    const request = { nonce: Buffer.alloc(32), sessionId: Buffer.alloc(16), sequence: 0 };
    const status = await new Promise<{ readonly details: string; readonly metadata: { getMap(): unknown } }>(
      (resolve) => handle({ request }, (error) => resolve(error as never)),
    );
    expect(status.details).toContain('TRANSFER_SIZE_MISMATCH');
    const trailer = Object.values(status.metadata.getMap() as Record<string, Buffer>).map(String);
    expect(`${status.details}${trailer.join()}`).not.toContain(SECRET);
  });

  it('of a bulk stream carries its code only', async () => {
    const written: Buffer[] = [];
    const stream = new Duplex({
      read: () => undefined,
      write: (chunk: Buffer, _encoding, done) => {
        written.push(chunk);
        stream.push(null);
        done();
      },
    });
    stream.push(encodePreface({ direction: 'up', ticket: new Uint8Array(TICKET_BYTES), firstSegment: 0 }));
    await serveBulk(service, stream, { stage: 'silent', reach: () => undefined });
    const answer = Buffer.concat(written);
    expect(() => decodeAnswer(answer.subarray(4))).toThrow(
      expect.objectContaining({ code: 'TRANSFER_SIZE_MISMATCH' }),
    );
    expect(answer.toString()).not.toContain(SECRET);
  });
});
