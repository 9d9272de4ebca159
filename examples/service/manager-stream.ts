import { type ServerDuplexStream, status } from '@grpc/grpc-js';
import type {
  ConnectRequest,
  ConnectResponse,
  Event,
  Hello,
} from '../../src/rpc/gen/cocosai/service/v1/service.ts';
import type { StreamOwner } from './computation.ts';

/** The service's end of one manager's stream. */

const PROTOCOL_VERSION = 1;
/** Events that may wait for the disk; reading pauses then, so that memory stays flat. */
const UNSTORED_LIMIT = 512;

export class ManagerStream {
  private readonly service: StreamOwner;
  private readonly call: ServerDuplexStream<ConnectRequest, ConnectResponse>;
  private hello: Hello | null = null;
  /** What was asked for on this stream. */
  private readonly asked = new Set<string>();
  /** Highest event of each computation that is to be acknowledged once it is stored. */
  private readonly received = new Map<string, number>();
  private unstored = 0;
  private storing: Promise<void> | null = null;

  constructor(service: StreamOwner, call: ServerDuplexStream<ConnectRequest, ConnectResponse>) {
    this.service = service;
    this.call = call;
    call.on('data', ({ message }: ConnectRequest) => this.take(message));
    call.on('end', () => call.end());
    // A stream that breaks is taken up again by the manager.
    call.on('error', () => undefined);
  }

  /** Asks for everything that has not been answered and was not asked for on this stream. */
  ask(): void {
    if (this.hello === null) return;
    const { managerId } = this.hello;
    for (const computation of this.service.computations.values()) {
      const { computationId, manifestJson, wishes } = computation;
      if (computation.managerId === null) {
        this.service.record({ kind: 'assigned', computationId, managerId });
      }
      if (computation.managerId !== managerId) continue;
      if (!computation.isAnswered) {
        this.askOnce(`run ${computationId}`, {
          $case: 'run',
          value: { computationId, manifestJson, wishes },
        });
      }
      if (computation.stop === 'wanted') {
        this.askOnce(`stop ${computationId}`, { $case: 'stop', value: { computationId } });
      }
    }
  }

  end(): void {
    this.call.end();
  }

  private askOnce(what: string, message: NonNullable<ConnectResponse['message']>): void {
    if (this.asked.has(what)) return;
    this.asked.add(what);
    void this.service.sync().then(() => this.send(message));
  }

  private take(message: ConnectRequest['message']): void {
    if (message === undefined) return;
    if (message.$case === 'hello') return this.handshake(message.value);
    if (this.hello === null) return this.refuse('a message before the hello');
    switch (message.$case) {
      case 'heartbeat':
        return this.send({ $case: 'heartbeat', value: {} });
      case 'event':
        return this.takeEvent(this.hello, message.value);
      case 'runAnswer': {
        const { computationId, outcome } = message.value;
        if (this.service.computations.get(computationId)?.isAnswered !== false) return;
        const enclaveId = outcome?.$case === 'accepted' ? outcome.value.enclaveId : null;
        const refusal = outcome?.$case === 'refused' ? outcome.value.code : null;
        return this.service.record({ kind: 'answered', computationId, enclaveId, refusal });
      }
      case 'stopAnswer': {
        const { computationId, outcome } = message.value;
        if (this.service.computations.get(computationId)?.stop !== 'wanted') return;
        const refusal = outcome?.$case === 'refused' ? outcome.value.code : null;
        return this.service.record({ kind: 'stopAnswered', computationId, refusal });
      }
    }
  }

  private handshake(hello: Hello): void {
    if (hello.protocolVersion !== PROTOCOL_VERSION || this.hello !== null) {
      return this.refuse(`a hello of version ${hello.protocolVersion}`);
    }
    this.hello = hello;
    const { serviceId } = this.service;
    this.send({ $case: 'welcome', value: { protocolVersion: PROTOCOL_VERSION, serviceId } });
    this.ask();
  }

  /** Takes each event once, by its number. */
  private takeEvent({ outboxId }: Hello, event: Event): void {
    const { computationId, sequence } = event;
    const last = this.service.lastSequence(outboxId, computationId);
    if (sequence > last + 1) return this.refuse(`event ${sequence} of ${computationId} after ${last}`);
    if (sequence === last + 1) this.service.record({ kind: 'event', outboxId, ...event });
    this.received.set(computationId, Math.max(sequence, last));
    this.unstored += 1;
    if (this.unstored >= UNSTORED_LIMIT) this.call.pause();
    this.storing ??= this.store();
  }

  private async store(): Promise<void> {
    while (this.received.size > 0) {
      const received = [...this.received];
      this.received.clear();
      this.unstored = 0;
      await this.service.sync();
      for (const [computationId, sequence] of received) {
        this.send({ $case: 'acknowledgement', value: { computationId, sequence } });
      }
      if (this.unstored < UNSTORED_LIMIT) this.call.resume();
    }
    this.storing = null;
  }

  private send(message: NonNullable<ConnectResponse['message']>): void {
    if (!this.call.destroyed && !this.call.writableEnded) this.call.write({ message });
  }

  private refuse(reason: string): void {
    const details = `The manager broke the protocol: ${reason}.`;
    this.call.destroy(Object.assign(new Error(details), { code: status.FAILED_PRECONDITION, details }));
  }
}
