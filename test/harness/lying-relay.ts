import { once } from 'node:events';
import { renameSync } from 'node:fs';
import net from 'node:net';
import {
  credentials,
  Server,
  ServerCredentials,
  type ServerReadableStream,
  type ServerWritableStream,
  type ServiceError,
} from '@grpc/grpc-js';
import { ByteReader } from '../../src/crypto/byte-reader.ts';
import { frameSegment, readSegments } from '../../src/protocol/segment-frames.ts';
import type { SealedSegment } from '../../src/protocol/segments.ts';
import { answerLength, BULK_MAGIC, decodePreface, isBulk, PREFACE_BYTES } from '../../src/rpc/bulk.ts';
import {
  AgentServiceClient,
  type AgentServiceServer,
  AgentServiceService,
  type CallRequest,
  type CallResponse,
  type DownloadRequest,
  type DownloadResponse,
  type FollowResponse,
  type GetEvidenceResponse,
  type OpenSessionRequest,
  type OpenSessionResponse,
  type UploadRequest,
  type UploadResponse,
} from '../../src/rpc/gen/cocosai/agent/v1/agent.ts';

/**
 * A relay that understands what it carries, as the owner of the host could build one: it ends the participant's HTTP/2
 * and speaks its own with the agent, and takes bulk streams apart into segments. What it does to them is its lies'.
 */

/** A sealed segment as the relay sees it. */
export type Piece = Pick<SealedSegment, 'last' | 'bytes'>;
export type Lie = (pieces: AsyncIterable<Piece>) => AsyncIterable<Piece>;
type Forward<Request, Response> = (request: Request) => Promise<Response>;

export interface Lies {
  openSession?: (
    request: OpenSessionRequest,
    forward: Forward<OpenSessionRequest, OpenSessionResponse>,
  ) => Promise<OpenSessionResponse>;
  call?: (request: CallRequest, forward: Forward<CallRequest, CallResponse>) => Promise<CallResponse>;
  up?: Lie;
  down?: Lie;
}

export interface LyingRelay {
  /** May be changed between connections. */
  lies: Lies;
  /** How the streams of segments went, in turn. */
  readonly streams: ('bulk' | 'grpc')[];
  close(): Promise<void>;
}

/** Takes the place of the relay at a unix socket, which goes on behind it. */
export async function lyingRelay(socketFile: string): Promise<LyingRelay> {
  const behind = `${socketFile}.behind`;
  renameSync(socketFile, behind);
  const relay: Pick<LyingRelay, 'lies' | 'streams'> = { lies: {}, streams: [] };
  const client = new AgentServiceClient(`unix:${behind}`, credentials.createInsecure());
  const grpc = new Server();
  grpc.addService(AgentServiceService, { ...serviceOf(client, relay) });
  const injector = grpc.createConnectionInjector(ServerCredentials.createInsecure());
  const open = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    open.add(socket);
    socket.on('error', () => socket.destroy());
    socket.once('readable', () => {
      const start: Buffer = socket.read() ?? Buffer.alloc(0);
      socket.unshift(start);
      if (!isBulk(start.subarray(0, BULK_MAGIC.length))) return injector.injectConnection(socket);
      const agent = net.connect({ path: behind });
      open.add(agent);
      const end = () => {
        socket.destroy();
        agent.destroy();
      };
      for (const each of [socket, agent]) each.on('error', end).on('close', end);
      relay.streams.push('bulk');
      carryBulk(socket, agent, relay.lies).catch(end);
    });
  });
  await new Promise<void>((resolve) => server.listen(socketFile, resolve));
  return Object.assign(relay, {
    close: async () => {
      for (const socket of open) socket.destroy();
      client.close();
      injector.destroy();
      grpc.forceShutdown();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      renameSync(behind, socketFile);
    },
  });
}

async function carryBulk(participant: net.Socket, agent: net.Socket, lies: Lies): Promise<void> {
  const fromParticipant = new ByteReader(participant);
  const preface = await fromParticipant.read(PREFACE_BYTES);
  agent.write(preface);
  const isUp = decodePreface(preface).direction === 'up';
  if (isUp) {
    agent.pipe(participant);
    return write(agent, lie(lies.up, readSegments(fromParticipant)));
  }
  const fromAgent = new ByteReader(agent);
  const head = await fromAgent.read(4);
  participant.write(head);
  participant.write(await fromAgent.read(answerLength(head)));
  return write(participant, lie(lies.down, readSegments(fromAgent)));
}

async function write(to: net.Socket, pieces: AsyncIterable<Piece>): Promise<void> {
  for await (const { last, bytes } of pieces) {
    if (!to.write(frameSegment({ index: 0, last, bytes }))) await once(to, 'drain');
  }
}

function lie(how: Lie | undefined, pieces: AsyncIterable<Piece>): AsyncIterable<Piece> {
  return how === undefined ? pieces : how(pieces);
}

function serviceOf(
  client: AgentServiceClient,
  relay: Pick<LyingRelay, 'lies' | 'streams'>,
): AgentServiceServer {
  const openSession: Forward<OpenSessionRequest, OpenSessionResponse> = (request) =>
    unary((done) => client.openSession(request, done));
  const call: Forward<CallRequest, CallResponse> = (request) => unary((done) => client.call(request, done));
  return {
    getEvidence: ({ request }, callback) =>
      answer(
        unary<GetEvidenceResponse>((done) => client.getEvidence(request, done)),
        callback,
      ),
    openSession: ({ request }, callback) =>
      answer(relay.lies.openSession?.(request, openSession) ?? openSession(request), callback),
    call: ({ request }, callback) => answer(relay.lies.call?.(request, call) ?? call(request), callback),
    upload: (incoming, callback) => {
      relay.streams.push('grpc');
      answer(upload(client, incoming, relay.lies), callback);
    },
    download: (outgoing) => {
      relay.streams.push('grpc');
      download(client, outgoing, relay.lies);
    },
    follow: (outgoing) => {
      const items = client.follow(outgoing.request);
      outgoing.on('cancelled', () => items.cancel());
      items.on('error', (error) => outgoing.emit('error', error));
      items.on('data', (item: FollowResponse) => outgoing.write(item)).on('end', () => outgoing.end());
    },
  };
}

async function upload(
  client: AgentServiceClient,
  incoming: ServerReadableStream<UploadRequest, UploadResponse>,
  lies: Lies,
): Promise<UploadResponse> {
  let ticket: Buffer | undefined;
  let index = 0;
  const pieces = async function* (): AsyncGenerator<Piece> {
    for await (const message of incoming as AsyncIterable<UploadRequest>) {
      if (ticket === undefined) ({ ticket, index } = message);
      yield { last: message.last, bytes: message.ciphertext };
    }
  };
  return unary((done) => {
    const outgoing = client.upload(done);
    outgoing.on('error', () => undefined);
    const send = async () => {
      for await (const { last, bytes } of lie(lies.up, pieces())) {
        // Numbers in order: what the agent is told of a segment's place is never what gives the relay away.
        const message = { ticket: ticket ?? Buffer.alloc(0), index, last, ciphertext: Buffer.from(bytes) };
        index += 1;
        if (!outgoing.write(message)) await Promise.race([once(outgoing, 'drain'), once(outgoing, 'status')]);
      }
      outgoing.end();
    };
    send().catch(() => outgoing.cancel());
  });
}

function download(
  client: AgentServiceClient,
  outgoing: ServerWritableStream<DownloadRequest, DownloadResponse>,
  lies: Lies,
): void {
  const call = client.download(outgoing.request);
  let index = outgoing.request.firstSegment;
  const pieces = async function* (): AsyncGenerator<Piece> {
    for await (const message of call as AsyncIterable<DownloadResponse>)
      yield { last: message.last, bytes: message.ciphertext };
  };
  const send = async () => {
    for await (const { last, bytes } of lie(lies.down, pieces())) {
      if (outgoing.cancelled) return call.cancel();
      outgoing.write({ index, last, ciphertext: Buffer.from(bytes) });
      index += 1;
    }
    outgoing.end();
  };
  send().catch((error: unknown) => outgoing.emit('error', error));
}

function unary<T>(start: (done: (error: ServiceError | null, value: T) => void) => unknown): Promise<T> {
  return new Promise((resolve, reject) => {
    start((error, value) => (error === null ? resolve(value) : reject(error)));
  });
}

/** Passes the agent's answer or its refusal on, with all that the refusal carries. */
function answer<T>(work: Promise<T>, callback: (error: ServiceError | null, value?: T | null) => void): void {
  work.then(
    (value) => callback(null, value),
    (error: ServiceError) => callback(error),
  );
}
