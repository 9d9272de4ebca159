import { type ClientWritableStream, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { z } from 'zod';
import { CocosError } from '../../errors.ts';
import type { SealedChannel } from '../../protocol/channel.ts';
import type { SealedSegment } from '../../protocol/segments.ts';
import type { SessionOpening } from '../../protocol/session.ts';
import type { BulkPreface } from '../../rpc/bulk.ts';
import {
  AgentServiceClient,
  type UploadRequest,
  type UploadResponse,
} from '../../rpc/gen/cocosai/agent/v1/agent.ts';
import {
  ASSOCIATED,
  decodeAnswer,
  decodeBody,
  encodeBody,
  FollowItem,
  followLabel,
  type SealedRequest,
  SessionHello,
} from '../../rpc/sealed.ts';
import { fromStatus } from '../../rpc/status.ts';
import { type AgentRoute, openRoute } from './agent-route.ts';
import { type BulkStream, openBulk } from './bulk-client.ts';

const CALL_LIMIT_MS = 60_000;
const EVIDENCE_LIMIT_MS = 90_000;
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;

/** Client of the agent's service through a relay or a gateway. Answers are untrusted until they are opened. */
export class AgentClient {
  private readonly client: AgentServiceClient;
  private readonly route: AgentRoute;

  /**
   * @param relay address of a relay or of an enclave behind a gateway, see {@link openRoute}
   * @throws CocosError CONFIG_INVALID, AGENT_UNAVAILABLE
   */
  static async open(relay: string, environment: NodeJS.ProcessEnv): Promise<AgentClient> {
    return new AgentClient(await openRoute(relay, environment));
  }

  private constructor(route: AgentRoute) {
    this.route = route;
    this.client = new AgentServiceClient(route.target, credentials.createInsecure(), {
      'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
      // What leads out of this machine is not gRPC's own connection.
      'grpc.enable_http_proxy': 0,
    });
  }

  async close(): Promise<void> {
    this.client.close();
    await this.route.close();
  }

  async evidence(nonce: Uint8Array): Promise<Uint8Array> {
    const { evidence } = await this.unary<{ evidence: Uint8Array }>((done) =>
      this.client.getEvidence(
        { nonce: Buffer.from(nonce) },
        new Metadata(),
        { deadline: limit(EVIDENCE_LIMIT_MS) },
        done,
      ),
    );
    return evidence;
  }

  /** Sends the opening of a session. The sealed hello proves that the agent has the attested key. */
  async open(opening: SessionOpening, signature: Uint8Array, channel: SealedChannel): Promise<AgentSession> {
    const reply = await this.unary<{ sequence: number; ciphertext: Uint8Array }>((done) =>
      this.client.openSession(
        {
          sessionId: Buffer.from(opening.sessionId),
          kem: opening.suite.kem,
          aead: opening.suite.aead,
          enc: Buffer.from(opening.enc),
          role: opening.role,
          participant: Buffer.from(opening.participant),
          manifestDigest: opening.manifestDigest,
          evidenceDigest: opening.evidenceDigest,
          nonce: Buffer.from(opening.nonce),
          signature: Buffer.from(signature),
        },
        new Metadata(),
        { deadline: limit(CALL_LIMIT_MS) },
        done,
      ),
    );
    decodeBody(SessionHello, channel.open(reply.sequence, reply.ciphertext, ASSOCIATED.hello));
    return new AgentSession(this.client, this.route, opening.sessionId, channel);
  }

  private unary<T>(start: (done: (error: ServiceError | null, value: T) => void) => unknown): Promise<T> {
    return unary(start);
  }
}

/** A session that the agent has accepted. All its messages are sealed. */
export class AgentSession {
  readonly channel: SealedChannel;
  private readonly client: AgentServiceClient;
  private readonly route: AgentRoute;
  private readonly sessionId: Buffer;

  constructor(client: AgentServiceClient, route: AgentRoute, sessionId: Uint8Array, channel: SealedChannel) {
    this.client = client;
    this.route = route;
    this.sessionId = Buffer.from(sessionId);
    this.channel = channel;
  }

  /** @throws CocosError the agent's own, or AGENT_UNAVAILABLE */
  async call<T>(request: SealedRequest, schema: z.ZodType<T>): Promise<T> {
    const sealed = this.channel.seal(encodeBody(request), ASSOCIATED.call);
    const reply = await unary<{ sequence: number; ciphertext: Uint8Array }>((done) =>
      this.client.call(
        { sessionId: this.sessionId, sequence: sealed.sequence, ciphertext: Buffer.from(sealed.ciphertext) },
        new Metadata(),
        { deadline: limit(CALL_LIMIT_MS) },
        done,
      ),
    );
    const body = this.channel.open(reply.sequence, reply.ciphertext, ASSOCIATED.answer(sealed.sequence));
    return decodeAnswer(schema, body);
  }

  /** Closes the session at the agent. If the agent cannot be reached, the session expires. */
  async close(): Promise<void> {
    await this.call({ method: 'session.close' }, z.null()).catch(() => undefined);
  }

  /** Opens a bulk stream for segments; null if the path does not carry one. @throws CocosError the agent's refusal */
  bulk(preface: BulkPreface): Promise<BulkStream | null> {
    return openBulk(this.route, preface);
  }

  /** Sends segments over gRPC with back-pressure. Resolves with the number of segments that the agent holds. */
  async upload(ticket: Uint8Array, segments: AsyncIterable<SealedSegment>): Promise<number> {
    let settle: (error: CocosError | null, segments: number) => void = () => undefined;
    const answered = new Promise<number>((resolve, reject) => {
      settle = (error, count) => (error === null ? resolve(count) : reject(error));
    });
    // If the agent refuses a segment, it answers before the last one is written.
    answered.catch(() => undefined);
    let over = false;
    const call = this.client.upload((error: ServiceError | null, response: UploadResponse) => {
      over = true;
      settle(error === null ? null : agentError(error), response?.segments ?? 0);
    });
    call.on('error', () => undefined);
    let shown = Buffer.from(ticket);
    for await (const { index, last, bytes } of segments) {
      if (over) break;
      const wrote = call.write({ ticket: shown, index, last, ciphertext: Buffer.from(bytes) });
      shown = Buffer.alloc(0);
      if (!wrote) await Promise.race([drained(call), answered.then(() => undefined)]);
    }
    call.end();
    return answered;
  }

  async *download(ticket: Uint8Array, firstSegment: number): AsyncGenerator<SealedSegment> {
    const call = this.client.download({ ticket: Buffer.from(ticket), firstSegment });
    try {
      for await (const { index, last, ciphertext } of call) yield { index, last, bytes: ciphertext };
    } catch (thrown) {
      throw agentError(thrown as ServiceError);
    } finally {
      call.cancel();
    }
  }

  /** Yields states and, for consumers, log lines as they happen. */
  async *follow(): AsyncGenerator<FollowItem> {
    const sealed = this.channel.seal(encodeBody(null), ASSOCIATED.follow);
    const channel = this.channel.subchannel(followLabel(sealed.sequence));
    const call = this.client.follow({
      sessionId: this.sessionId,
      sequence: sealed.sequence,
      ciphertext: Buffer.from(sealed.ciphertext),
    });
    try {
      for await (const { sequence, ciphertext } of call) {
        yield decodeBody(FollowItem, channel.open(sequence, ciphertext, ASSOCIATED.item));
      }
    } catch (thrown) {
      throw thrown instanceof CocosError ? thrown : agentError(thrown as ServiceError);
    } finally {
      call.cancel();
    }
  }
}

function unary<T>(start: (done: (error: ServiceError | null, value: T) => void) => unknown): Promise<T> {
  return new Promise((resolve, reject) => {
    start((error, value) => (error === null ? resolve(value) : reject(agentError(error))));
  });
}

/** The error that the agent sent, or that it does not answer. */
function agentError(error: ServiceError): CocosError {
  const known = fromStatus(error, 'AGENT_UNAVAILABLE');
  if (known.code !== 'AGENT_UNAVAILABLE' || known.cause !== error) return known;
  return new CocosError(known.code, 'The agent does not answer through its relay.', { cause: error });
}

function drained(call: ClientWritableStream<UploadRequest>): Promise<void> {
  return new Promise((resolve) => call.once('drain', resolve));
}

function limit(ms: number): Date {
  return new Date(Date.now() + ms);
}
