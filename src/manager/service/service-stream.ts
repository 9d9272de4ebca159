import type { ClientDuplexStream, ServiceError } from '@grpc/grpc-js';
import { CocosError } from '../../errors.ts';
import { type Address, clientCredentials, grpcTarget, type TlsFiles } from '../../rpc/address.ts';
import {
  ComputationManagementServiceClient,
  type ConnectRequest,
  type ConnectResponse,
} from '../../rpc/gen/cocosai/service/v1/service.ts';
import { fromStatus } from '../../rpc/status.ts';
import { TimeShare } from '../../runtime/time-share.ts';

/** One gRPC stream to the management service, with its own channel. */

/** How long the service may take to end a stream that this side has ended. */
const CLOSE_LIMIT_MS = 1_000;

export type ToService = NonNullable<ConnectRequest['message']>;
export type FromService = NonNullable<ConnectResponse['message']>;

/** Requests that may wait for their answers, or for these to be read, before no more are read. */
const UNANSWERED_LIMIT = 16;
/** A request with a manifest counts once more for each of so many characters: of the largest, one waits at a time. */
const MANIFEST_UNIT = 256 * 1024;

/** What a message costs of the manager's time, in milliseconds, and what each MiB of a manifest adds. */
const MESSAGE_COST_MS = 0.1;
const REQUEST_COST_MS = 1;
const MANIFEST_COST_MS = 50;

/** Messages of the manager whose answers may still come; more events and heartbeats are never on their way. */
const EXPECTED_LIMIT = 2_048;

interface Handlers {
  /** Gives null, or for a request what settles when its answer has been sent. */
  readonly onMessage: (message: FromService) => Promise<void> | null;
  /** Called once, unless the stream was closed from this side. */
  readonly onLost: (error: CocosError) => void;
}

/**
 * Connects to the service.
 *
 * @throws CocosError SERVICE_UNAVAILABLE when it does not answer in `timeoutMs`, CONFIG_INVALID for TLS files that
 * cannot be read, CANCELLED when the signal aborts.
 */
export async function connectService(
  address: Address,
  tls: TlsFiles,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<ServiceStream> {
  const client = new ComputationManagementServiceClient(
    grpcTarget(address),
    clientCredentials(address, tls),
    // The machine owns the back-off, so no channel is shared with an earlier attempt that still waits.
    { 'grpc.use_local_subchannel_pool': 1 },
  );
  const abort = () => client.close();
  signal.addEventListener('abort', abort, { once: true });
  try {
    await new Promise<void>((resolve, reject) => {
      signal.addEventListener('abort', () => reject(new CocosError('CANCELLED', 'Not wanted any more.')), {
        once: true,
      });
      client.waitForReady(Date.now() + timeoutMs, (cause) =>
        cause === undefined
          ? resolve()
          : reject(
              new CocosError('SERVICE_UNAVAILABLE', 'The management service does not answer.', { cause }),
            ),
      );
    });
    return new ServiceStream(client);
  } catch (thrown) {
    client.close();
    throw thrown;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

const weightOf = (message: FromService): number =>
  1 + (message.$case === 'run' ? Math.floor(message.value.manifestJson.length / MANIFEST_UNIT) : 0);

export class ServiceStream {
  private readonly client: ComputationManagementServiceClient;
  private readonly call: ClientDuplexStream<ConnectRequest, ConnectResponse>;
  private readonly ended: Promise<void>;
  private isOpen = true;
  private closing: Promise<void> | null = null;
  private draining: Promise<void> | null = null;
  private readonly share = new TimeShare(performance.now());
  /** Ends the pause of a service that took more than its share of the manager's time. */
  private rest: NodeJS.Timeout | null = null;
  private unanswered = 0;
  /** Messages that the service may send as answers to ours, one for each; they do not count against it. */
  private expected = 0;
  /** Milliseconds of `performance.now()` of the last message of the service. */
  heardAtMs = performance.now();

  constructor(client: ComputationManagementServiceClient) {
    this.client = client;
    this.call = client.connect();
    this.ended = new Promise((resolve) => this.call.once('close', resolve).once('error', () => resolve()));
    // A lost stream is reported to the listener; before there is one, nothing was received that could be lost.
    this.call.on('error', () => undefined);
  }

  /** Messages from now on. One of a kind that this version does not know is passed over. */
  listen({ onMessage, onLost }: Handlers): void {
    const lose = (error: CocosError) => {
      if (!this.isOpen) return;
      this.isOpen = false;
      onLost(error);
    };
    this.call.on('data', ({ message }: ConnectResponse) => {
      this.heardAtMs = performance.now();
      if (message === undefined) return;
      this.charge(message);
      const answered = this.isOpen ? onMessage(message) : null;
      if (answered !== null) {
        const weight = weightOf(message);
        this.unanswered += weight;
        const settle = () => {
          this.unanswered -= weight;
          this.read();
        };
        answered.then(settle, settle);
      }
      this.read();
    });
    this.call.once('error', (error: ServiceError) => lose(fromStatus(error, 'SERVICE_UNAVAILABLE')));
    this.call.once('end', () => lose(new CocosError('SERVICE_UNAVAILABLE', 'The service ended the stream.')));
  }

  /** A service that does not read its answers counts as silent before long. */
  private read(): void {
    if (this.rest === null && this.unanswered < UNANSWERED_LIMIT) this.call.resume();
    else this.call.pause();
  }

  private charge(message: FromService): void {
    if (message.$case === 'acknowledgement' || message.$case === 'heartbeat') {
      this.expected -= 1;
      if (this.expected >= 0) return;
      this.expected = 0;
    }
    const pauseMs = this.share.charge(costOf(message), this.heardAtMs);
    if (pauseMs === 0 || this.rest !== null) return;
    this.rest = setTimeout(() => {
      this.rest = null;
      // Nothing was read meanwhile, so the silence is not the service's.
      this.heardAtMs = performance.now();
      this.read();
    }, pauseMs).unref();
  }

  /** Resolves when the stream takes more. @throws CocosError SERVICE_UNAVAILABLE when it has ended. */
  async send(message: ToService): Promise<void> {
    if (!this.isOpen || this.call.destroyed) {
      throw new CocosError('SERVICE_UNAVAILABLE', 'The stream to the service has ended.');
    }
    this.expected = Math.min(this.expected + 1, EXPECTED_LIMIT);
    if (this.call.write({ message })) return;
    // One listener, however many messages wait.
    this.draining ??= new Promise((resolve) => {
      this.call.once('drain', () => {
        this.draining = null;
        resolve();
      });
    });
    await Promise.race([this.draining, this.ended]);
  }

  /** Ends the stream in order, or by force when the service does not follow; it emits nothing afterwards. */
  close(): Promise<void> {
    this.closing ??= this.end();
    return this.closing;
  }

  private async end(): Promise<void> {
    this.isOpen = false;
    if (this.rest !== null) clearTimeout(this.rest);
    this.call.end();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, CLOSE_LIMIT_MS);
    });
    this.call.resume();
    await Promise.race([this.ended, late]);
    clearTimeout(timer);
    this.call.cancel();
    this.client.close();
  }
}

function costOf({ $case, value }: FromService): number {
  if ($case === 'run') return REQUEST_COST_MS + (value.manifestJson.length / 2 ** 20) * MANIFEST_COST_MS;
  return $case === 'stop' ? REQUEST_COST_MS : MESSAGE_COST_MS;
}
