import { type Actor, type ActorOptions, createActor, waitFor } from 'xstate';
import { CocosError } from '../../errors.ts';
import type { WaitInput } from '../../machines/link.machine.ts';
import { type ServiceContext, serviceMachine } from '../../machines/service.machine.ts';
import { stateName } from '../../machines/state-name.ts';
import type { Address, TlsFiles } from '../../rpc/address.ts';
import { systemClock } from '../../runtime/clock.ts';
import { asyncEffect } from '../../runtime/effects.ts';
import { Delivery } from './delivery.ts';
import type { IdempotencyStore } from './idempotency-store.ts';
import type { Outbox } from './outbox.ts';
import type { WaitingEvent } from './outbox-store.ts';
import { type RunHandlers, RunRequests } from './run-requests.ts';
import { connectService, type FromService, type ServiceStream, type ToService } from './service-stream.ts';

const PROTOCOL_VERSION = 1;
const CONNECT_LIMIT_MS = 5_000;
const HEARTBEAT_MS = 5_000;
/** So many heartbeats without a word mean that the service is lost. */
const SILENT_HEARTBEATS = 3;

export interface ServiceClientOptions extends RunHandlers {
  readonly address: Address;
  readonly tls: TlsFiles;
  /** The same for as long as the manager keeps its store. */
  readonly managerId: string;
  readonly managerVersion: string;
  readonly outbox: Outbox;
  readonly idempotency: IdempotencyStore;
  /** Sees every transition of the stream's machine, whose address is `service`. */
  readonly inspect?: ActorOptions<typeof serviceMachine>['inspect'];
  /** Is called when the stream's machine has thrown; the client cannot be used afterwards. */
  readonly onFailure?: (thrown: unknown) => void;
  /** An ended enclave could not be removed. */
  readonly onRemovalFailure?: (error: CocosError) => void;
  /** Milliseconds between heartbeats when nothing else is sent; 5,000 when left out. */
  readonly heartbeatMs?: number;
  /** What becomes of a back-off in milliseconds; when left out, a random part of up to a half is taken off. */
  readonly jitter?: (delayMs: number) => number;
}

/** The manager's end of the stream to the computation management service. */
export class ServiceClient {
  private readonly options: ServiceClientOptions;
  private readonly requests: RunRequests;
  private readonly actor: Actor<typeof serviceMachine>;
  private readonly heartbeatMs: number;
  private stream: ServiceStream | null = null;
  private delivery: Delivery | null = null;

  constructor(options: ServiceClientOptions) {
    this.options = options;
    this.requests = new RunRequests(options);
    this.heartbeatMs = options.heartbeatMs ?? HEARTBEAT_MS;
    const { inspect } = options;
    this.actor = createActor(this.provide(), {
      id: 'service',
      ...(inspect === undefined ? {} : { inspect }),
    });
    this.actor.subscribe({ error: (thrown) => options.onFailure?.(thrown) });
    this.actor.start();
  }

  get state(): string {
    return stateName(this.actor.getSnapshot().value);
  }

  get context(): ServiceContext {
    return this.actor.getSnapshot().context;
  }

  start(): void {
    this.actor.send({ type: 'service.start' });
  }

  /** Ends the stream; resolves when it is closed. What was not acknowledged stays in the outbox. */
  async stop(): Promise<void> {
    // A machine that has thrown leaves its stream behind, and handles no more events.
    if (this.actor.getSnapshot().status !== 'active') return this.stream?.close();
    this.actor.send({ type: 'service.stop' });
    await waitFor(this.actor, (snapshot) => snapshot.matches('disconnected') || snapshot.status !== 'active');
  }

  private provide() {
    const lose = (error: CocosError) => this.lose(error);
    return serviceMachine.provide({
      actors: {
        open: asyncEffect<object>((_, signal) => this.open(signal), lose),
        serve: asyncEffect<object>((_, signal) => this.serve(signal), lose),
        replay: asyncEffect<object>(async () => {
          await this.delivery?.replay();
          this.actor.send({ type: 'replay.finished', atMs: systemClock.monotonic() });
        }, lose),
        deliver: asyncEffect<object>(async () => this.delivery?.follow(), lose),
        wait: asyncEffect<WaitInput>((input, signal) => this.wait(input, signal), lose),
        close: asyncEffect<object>(
          async () => {
            // Also a stream that was left before it was served.
            await this.stream?.close();
            this.actor.send({ type: 'stream.closed' });
          },
          // One that cannot be ended in order is over all the same.
          () => this.actor.send({ type: 'stream.closed' }),
        ),
      },
    });
  }

  private lose(error: CocosError): void {
    this.actor.send({ type: 'stream.lost', cause: error.toJSON(), atMs: systemClock.monotonic() });
  }

  private async open(signal: AbortSignal): Promise<void> {
    await this.stream?.close();
    const { address, tls } = this.options;
    const stream = await connectService(address, tls, CONNECT_LIMIT_MS, signal);
    this.stream = stream;
    if (signal.aborted) return;
    this.delivery = new Delivery(this.options.outbox, (event) => stream.send(eventMessage(event)));
    this.actor.send({ type: 'stream.opened' });
  }

  /** Serves the stream until the signal aborts, whatever the reason for that is. */
  private async serve(signal: AbortSignal): Promise<void> {
    const { stream, delivery } = this;
    if (stream === null || delivery === null) return;
    stream.listen({
      onMessage: (message) => this.receive(stream, delivery, message),
      onLost: (error) => this.lose(error),
    });
    const heartbeat = setInterval(() => this.beat(stream), this.heartbeatMs);
    signal.addEventListener('abort', () => {
      clearInterval(heartbeat);
      delivery.close();
      void stream.close();
    });
    const { managerId, managerVersion, outbox } = this.options;
    const protocolVersion = PROTOCOL_VERSION;
    await stream.send({
      $case: 'hello',
      value: { protocolVersion, managerId, managerVersion, outboxId: outbox.id },
    });
  }

  private beat(stream: ServiceStream): void {
    const at = performance.now();
    if (at - stream.heardAtMs > SILENT_HEARTBEATS * this.heartbeatMs) {
      this.lose(new CocosError('SERVICE_UNAVAILABLE', 'The management service fell silent.'));
    } else {
      // Also while events are sent, since it is the answer that shows the service to be there.
      void this.send(stream, { $case: 'heartbeat', value: {} });
    }
  }

  /** Gives what settles when a request has been answered; null for every other message. */
  private receive(stream: ServiceStream, delivery: Delivery, message: FromService): Promise<void> | null {
    if (message.$case === 'welcome') {
      this.welcome(message.value);
      return null;
    }
    if (this.state === 'attached.handshake') {
      this.lose(new CocosError('SERVICE_PROTOCOL', 'The service sent a message before its welcome.'));
      return null;
    }
    switch (message.$case) {
      case 'run':
        return this.requests
          .run(message.value)
          .then((value) => this.send(stream, { $case: 'runAnswer', value }));
      case 'stop':
        return this.requests
          .stop(message.value)
          .then((value) => this.send(stream, { $case: 'stopAnswer', value }));
      case 'acknowledgement':
        this.acknowledge(stream, delivery, message.value);
        return null;
      case 'heartbeat':
        return null;
    }
  }

  private acknowledge(
    stream: ServiceStream,
    delivery: Delivery,
    { computationId, sequence }: { computationId: string; sequence: number },
  ): void {
    delivery.acknowledge(computationId, sequence).then(
      () => this.remove(() => this.requests.removeAcknowledged(computationId)),
      (thrown: unknown) => {
        if (this.stream === stream) this.lose(CocosError.from(thrown));
      },
    );
  }

  private welcome({ protocolVersion, serviceId }: { protocolVersion: number; serviceId: string }): void {
    if (this.state !== 'attached.handshake') {
      return this.lose(new CocosError('SERVICE_PROTOCOL', 'The service sent a second welcome.'));
    }
    if (protocolVersion !== PROTOCOL_VERSION) {
      const sentence = `The service speaks version ${protocolVersion}, not ${PROTOCOL_VERSION}.`;
      return this.lose(new CocosError('SERVICE_PROTOCOL', sentence));
    }
    this.actor.send({ type: 'welcome.received', serviceId });
    this.remove(() => this.requests.removeEnded());
  }

  /** What cannot be removed now is tried again on the next stream. */
  private remove(run: () => Promise<void>): void {
    run().catch((thrown: unknown) => this.options.onRemovalFailure?.(CocosError.from(thrown)));
  }

  /** The reader reports a stream that has ended; the service asks again for what it did not receive. */
  private send(stream: ServiceStream, message: ToService): Promise<void> {
    return stream.send(message).catch(() => undefined);
  }

  private async wait({ delayMs }: WaitInput, signal: AbortSignal): Promise<void> {
    const jittered = this.options.jitter?.(delayMs) ?? delayMs * (1 - Math.random() / 2);
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, jittered);
      signal.addEventListener('abort', () => {
        clearTimeout(timer);
        resolve();
      });
    });
    if (!signal.aborted) this.actor.send({ type: 'backoff.ended' });
  }
}

function eventMessage({ computationId, sequence, event }: WaitingEvent): ToService {
  const { from: fromState, to: toState, ...rest } = event;
  return { $case: 'event', value: { computationId, sequence, fromState, toState, ...rest } };
}
