import { Metadata, type ServiceError } from '@grpc/grpc-js';
import { CocosError } from '../errors.ts';
import { type Address, clientCredentials, grpcTarget, type TlsFiles } from './address.ts';
import {
  type Actor,
  ControlServiceClient,
  type CreateEnclaveRequest,
  type GetActorResponse,
  type GetHostResponse,
  type ListActorsResponse,
  type Transition,
} from './gen/cocosai/control/v1/control.ts';

const CALL_LIMIT_MS = 60_000;

export interface ActorInfo {
  readonly address: string;
  readonly machine: string;
  readonly state: string;
  readonly context: Readonly<Record<string, unknown>>;
  readonly legalEvents: readonly string[];
}

export type WatchItem =
  | { readonly kind: 'snapshot'; readonly actor: ActorInfo }
  | {
      readonly kind: 'transition';
      readonly transition: Omit<Transition, 'contextJson'>;
      readonly context: ActorInfo['context'];
    }
  | { readonly kind: 'removed'; readonly address: string }
  | { readonly kind: 'position'; readonly sequence: number };

/** Client of the manager's control service. Every failure is a CocosError; MANAGER_UNAVAILABLE when nothing answers. */
export class ControlClient {
  private readonly client: ControlServiceClient;
  private readonly target: string;
  /** Whether the manager runs on this machine. */
  readonly isLocal: boolean;

  constructor(address: Address, tls: TlsFiles) {
    this.target = grpcTarget(address);
    this.isLocal = address.kind !== 'tls';
    this.client = new ControlServiceClient(this.target, clientCredentials(address, tls));
  }

  close(): void {
    this.client.close();
  }

  /** @param probe whether the manager looks at its host again */
  host(probe = false): Promise<GetHostResponse> {
    return this.unary((done) => this.client.getHost({ probe }, new Metadata(), { deadline: limit() }, done));
  }

  async create(request: CreateEnclaveRequest): Promise<ActorInfo> {
    const { actor } = await this.unary<{ actor?: Actor | undefined }>((done) =>
      this.client.createEnclave(request, new Metadata(), { deadline: limit() }, done),
    );
    return infoOf(actor);
  }

  async remove(enclave: string): Promise<void> {
    await this.unary((done) =>
      this.client.removeEnclave({ enclave }, new Metadata(), { deadline: limit() }, done),
    );
  }

  async list(prefix: string): Promise<ActorInfo[]> {
    const found: ActorInfo[] = [];
    for (;;) {
      const after = found.at(-1)?.address ?? '';
      const { actors, hasMore } = await this.unary<ListActorsResponse>((done) =>
        this.client.listActors({ prefix, after }, new Metadata(), { deadline: limit() }, done),
      );
      found.push(...actors.map(infoOf));
      if (!hasMore || actors.length === 0) return found;
    }
  }

  async get(address: string): Promise<ActorInfo> {
    return (await this.find(address)).actor;
  }

  /** An actor, and where participants of other machines connect to it if it is an enclave; null for nowhere. */
  async find(address: string): Promise<{ readonly actor: ActorInfo; readonly participants: string | null }> {
    const { actor, participants } = await this.unary<GetActorResponse>((done) =>
      this.client.getActor({ address }, new Metadata(), { deadline: limit() }, done),
    );
    return { actor: infoOf(actor), participants: participants === '' ? null : participants };
  }

  async send(address: string, event: unknown): Promise<ActorInfo> {
    const { actor } = await this.unary<{ actor?: Actor | undefined }>((done) =>
      this.client.sendEvent(
        { address, eventJson: JSON.stringify(event) },
        new Metadata(),
        { deadline: limit() },
        done,
      ),
    );
    return infoOf(actor);
  }

  /** Yields snapshots, then transitions as they happen, until the consumer stops or the signal aborts. */
  async *watch(prefix: string, signal?: AbortSignal, afterSequence = 0): AsyncGenerator<WatchItem> {
    const call = this.client.watchActors({ prefix, afterSequence });
    const cancel = () => call.cancel();
    signal?.addEventListener('abort', cancel);
    try {
      for await (const { item } of call) {
        if (item?.$case === 'snapshot') yield { kind: 'snapshot', actor: infoOf(item.value) };
        else if (item?.$case === 'transition') {
          const { contextJson, ...transition } = item.value;
          yield { kind: 'transition', transition, context: parseContext(contextJson) };
        } else if (item?.$case === 'removed') yield { kind: 'removed', address: item.value };
        else if (item?.$case === 'position') yield { kind: 'position', sequence: item.value };
      }
    } catch (thrown) {
      if (signal?.aborted !== true) await this.fail(thrown as ServiceError);
    } finally {
      signal?.removeEventListener('abort', cancel);
      call.cancel();
    }
  }

  /** Loads the schemas of errors only for an error: they take longer to load than most calls. */
  private async fail(error: ServiceError): Promise<never> {
    const { fromStatus } = await import('./status.ts');
    const known = fromStatus(error, 'MANAGER_UNAVAILABLE');
    // An error that the manager itself sent has a message; for a failed connection gRPC has only its own words.
    if (known.code !== 'MANAGER_UNAVAILABLE' || known.cause !== error) throw known;
    throw new CocosError(known.code, `No manager answers at ${this.target}.`, { cause: error });
  }

  private unary<T>(start: (done: (error: ServiceError | null, value: T) => void) => unknown): Promise<T> {
    return new Promise((resolve) => {
      start((error, value) => (error === null ? resolve(value) : resolve(this.fail(error))));
    });
  }
}

function limit(): Date {
  return new Date(Date.now() + CALL_LIMIT_MS);
}

function infoOf(actor: Actor | undefined): ActorInfo {
  if (actor === undefined) throw new CocosError('INTERNAL', 'The manager sent an answer without an actor.');
  const { contextJson, ...rest } = actor;
  return { ...rest, context: parseContext(contextJson) };
}

function parseContext(text: string): ActorInfo['context'] {
  const value = jsonOf(text);
  if (typeof value !== 'object' || value === null)
    throw new CocosError('INTERNAL', 'The manager sent an actor without a context.');
  return Object.fromEntries(Object.entries(value));
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CocosError('INTERNAL', 'The manager sent an actor whose context is not JSON.', { cause });
  }
}
