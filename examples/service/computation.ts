import type { EnclaveWishes } from '../../src/rpc/gen/cocosai/service/v1/service.ts';
import type { Entry } from './journal.ts';

/** What the service knows of one computation. */
export interface Computation {
  readonly computationId: string;
  readonly manifestJson: string;
  readonly wishes: EnclaveWishes;
  managerId: string | null;
  isAnswered: boolean;
  enclaveId: string | null;
  refusal: string | null;
  stop: 'none' | 'wanted' | 'answered';
}

/** What a stream needs of the service that it belongs to. */
export interface StreamOwner {
  readonly serviceId: string;
  readonly computations: ReadonlyMap<string, Computation>;
  /** The last event of a computation that was taken in from this outbox; 0 before the first. */
  lastSequence(outboxId: string, computationId: string): number;
  record(entry: Entry): void;
  /** Resolves when everything that was recorded is on the disk. */
  sync(): Promise<void>;
}
