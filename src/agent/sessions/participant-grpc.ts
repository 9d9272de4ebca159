import type { ServerReadableStream, ServerWritableStream, UntypedHandleCall } from '@grpc/grpc-js';
import { isSuite } from '../../crypto/hpke.ts';
import { CocosError } from '../../errors.ts';
import { SESSION_ROLES, type SessionOpening } from '../../protocol/session.ts';
import type {
  AgentServiceServer,
  DownloadRequest,
  DownloadResponse,
  FollowRequest,
  FollowResponse,
  OpenSessionRequest,
  UploadRequest,
  UploadResponse,
} from '../../rpc/gen/cocosai/agent/v1/agent.ts';
import { toStatus } from '../../rpc/status.ts';
import { unary } from '../../rpc/unary.ts';
import type { UploadStream } from '../ports.ts';
import type { Connection } from './connections.ts';
import { hostError } from './host-error.ts';
import type { ParticipantService } from './participant-service.ts';

/** A stalled sender or reader is disconnected after this long. */
const STALL_LIMIT_MS = 60_000;

/**
 * The gRPC interface of the agent on one connection: it parses messages of untrusted peers and delegates to the service.
 *
 * @param reach records what the connection has achieved
 */
export function participantService(
  service: ParticipantService,
  reach: Connection['reach'],
): AgentServiceServer & Record<string, UntypedHandleCall> {
  return {
    getEvidence: answer(async ({ nonce }) => {
      const evidence = Buffer.from(await service.evidence(nonce));
      reach('answered');
      return { evidence };
    }),
    openSession: answer(async (request) => {
      const { sequence, ciphertext } = service.openSession(openingOf(request), request.signature);
      reach('session');
      return { sequence, ciphertext: Buffer.from(ciphertext) };
    }),
    call: answer(async ({ sessionId, sequence, ciphertext }) => {
      const answer = await service.call(hex(sessionId), sequence, ciphertext);
      reach('session');
      return { sequence: answer.sequence, ciphertext: Buffer.from(answer.ciphertext) };
    }),
    upload: (call, callback) => {
      upload(service, reach, call).then(
        (response) => callback(null, response),
        (thrown: unknown) => callback(toStatus(hostError(thrown))),
      );
    },
    download: (call) => stream(call, proven(reach, download(service, call))),
    follow: (call) => stream(call, proven(reach, follow(service, call))),
  };
}

function answer<TRequest, TResponse>(handle: (request: TRequest) => Promise<TResponse>) {
  return unary((request: TRequest) =>
    handle(request).catch((thrown: unknown) => {
      throw hostError(thrown);
    }),
  );
}

async function upload(
  service: ParticipantService,
  reach: Connection['reach'],
  call: ServerReadableStream<UploadRequest, UploadResponse>,
): Promise<UploadResponse> {
  let stalled: NodeJS.Timeout | undefined;
  const arm = () => {
    clearTimeout(stalled);
    stalled = setTimeout(
      () =>
        call.destroy(
          new CocosError(
            'DEADLINE_EXCEEDED',
            `The sender sent nothing for ${STALL_LIMIT_MS / 1_000} s; reconnect to continue.`,
          ),
        ),
      STALL_LIMIT_MS,
    );
  };
  let receiver: UploadStream | null = null;
  try {
    arm();
    for await (const message of call as AsyncIterable<UploadRequest>) {
      arm();
      receiver ??= service.attachUpload(message.ticket);
      reach('session');
      await receiver.take(message.index, message.last, message.ciphertext);
    }
    return { segments: receiver?.end() ?? 0 };
  } catch (thrown) {
    receiver?.interrupt(CocosError.from(thrown));
    throw thrown;
  } finally {
    clearTimeout(stalled);
  }
}

async function* download(
  service: ParticipantService,
  call: ServerWritableStream<DownloadRequest, DownloadResponse>,
): AsyncGenerator<DownloadResponse> {
  const { ticket, firstSegment } = call.request;
  for await (const { index, last, bytes } of service.download(ticket).segments(firstSegment)) {
    yield { index, last, ciphertext: Buffer.from(bytes) };
  }
}

/** A stream whose first message shows that the peer has a session. */
async function* proven<T>(reach: Connection['reach'], source: AsyncGenerator<T>): AsyncGenerator<T> {
  for await (const message of source) {
    reach('session');
    yield message;
  }
}

async function* follow(
  service: ParticipantService,
  call: ServerWritableStream<FollowRequest, FollowResponse>,
): AsyncGenerator<FollowResponse> {
  const ended = new AbortController();
  call.on('cancelled', () => ended.abort());
  call.on('close', () => ended.abort());
  const { sessionId, sequence, ciphertext } = call.request;
  for await (const message of service.follow(hex(sessionId), sequence, ciphertext, ended.signal)) {
    yield { sequence: message.sequence, ciphertext: Buffer.from(message.ciphertext) };
  }
}

/** Writes with back-pressure until the source ends or the peer disconnects. */
function stream<TRequest, TResponse>(
  call: ServerWritableStream<TRequest, TResponse>,
  source: AsyncGenerator<TResponse>,
): void {
  const run = async () => {
    for await (const message of source) {
      if (call.cancelled) return;
      if (!call.write(message)) await drained(call);
    }
    call.end();
  };
  run().catch((thrown: unknown) => call.emit('error', toStatus(hostError(thrown))));
}

function drained(call: ServerWritableStream<unknown, unknown>): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (end: () => void) => {
      clearTimeout(timer);
      call.off('drain', onDrain).off('cancelled', onGone);
      end();
    };
    const onDrain = () => settle(resolve);
    const onGone = () => settle(() => reject(new CocosError('CANCELLED', 'The reader disconnected.')));
    const timer = setTimeout(
      () =>
        settle(() =>
          reject(
            new CocosError(
              'DEADLINE_EXCEEDED',
              `The reader took nothing for ${STALL_LIMIT_MS / 1_000} s; reconnect to continue.`,
            ),
          ),
        ),
      STALL_LIMIT_MS,
    );
    call.once('drain', onDrain).once('cancelled', onGone);
  });
}

function openingOf(request: OpenSessionRequest): SessionOpening {
  const suite = { kem: request.kem, aead: request.aead };
  const role = SESSION_ROLES.find((each) => each === request.role);
  if (!isSuite(suite) || role === undefined) {
    throw new CocosError('INPUT_INVALID', 'A session opening names an unknown suite or role.');
  }
  return {
    version: 1,
    sessionId: request.sessionId,
    suite,
    enc: request.enc,
    role,
    participant: request.participant,
    manifestDigest: request.manifestDigest,
    evidenceDigest: request.evidenceDigest,
    nonce: request.nonce,
  };
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
