/** A process with a participant server on a unix socket, for a test that measures its memory. */
import { openParticipantServer } from '../../../src/agent/sessions/participant-server.ts';
import type { ParticipantService } from '../../../src/agent/sessions/participant-service.ts';
import { unixTransport } from '../../../src/link/transport/unix.ts';

/** Stands for the service: a session opens at once. */
const service = {
  evidence: () => Promise.resolve(new Uint8Array(1)),
  openSession: () => ({ sequence: 0, ciphertext: new Uint8Array(1) }),
  attachUpload: () => ({ take: () => Promise.resolve(), end: () => 1, interrupt: () => undefined }),
  call: () => Promise.resolve({ sequence: 0, ciphertext: new Uint8Array(1) }),
} as unknown as ParticipantService;

const server = await openParticipantServer(service, unixTransport(process.argv[2] ?? ''), 1);
await server.load();
const measure = () => {
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
};
// The test may have ended meanwhile.
const answer = () => process.send?.(measure(), undefined, {}, () => undefined);
process.on('message', answer);
process.on('disconnect', () => process.exit(0));
answer();
