import type { ActorRefFrom } from 'xstate';
import type { AgentEvent } from '../machines/agent.machine.ts';
import type { AttestationEvent, attestationMachine } from '../machines/attestation.machine.ts';
import type { ComputationEvent } from '../machines/computation.events.ts';
import type { ComputationContext, computationMachine } from '../machines/computation.machine.ts';
import type { TransferEvent, transferMachine } from '../machines/transfer.machine.ts';
import type { SealedSegment } from '../protocol/segments.ts';
import type {
  ComputationStatus,
  FollowItem,
  SealedRequest,
  TransferFinished,
  TransferOpened,
} from '../rpc/sealed.ts';
import type { GuestChain } from './evidence/dice/guest-chain.ts';
import type { ReportProvider } from './evidence/report-provider.ts';
import type { Vtpm } from './evidence/tpm/vtpm.ts';
import type { ResultReader, SealedResult } from './run/result-store.ts';
import type { Session } from './sessions/sessions.ts';

/**
 * What the parts of the agent need of each other. Each part takes the ports it needs and nothing more; `agent.ts`
 * makes the parts and connects them.
 */

export type ChildEvent = ComputationEvent | AttestationEvent | TransferEvent;

/** The running machines of this process. */
export interface ActorsPort {
  readonly computation: ActorRefFrom<typeof computationMachine>;
  attestation(address: string): ActorRefFrom<typeof attestationMachine> | undefined;
  transfer(id: string): ActorRefFrom<typeof transferMachine> | undefined;
  /** Sends an event to the agent's own machine. */
  notify(event: AgentEvent): void;
  /** Sends an event to a child. The child ignores an event that is not legal in its state. */
  send(address: string, event: ChildEvent): void;
  /** @throws CocosError ACTOR_NOT_FOUND; STATE_EVENT_ILLEGAL with the state, its events and the refusing guards */
  sendLegal(address: string, event: ChildEvent): void;
  /** Stops a child and removes it from the manager's mirrors. */
  retire(address: string): void;
}

export interface ComputationPort {
  readonly context: ComputationContext;
  readonly isAwaitingManifest: boolean;
  status(): ComputationStatus;
  /** An event that is not legal in the present state is ignored. */
  send(event: ComputationEvent): void;
  /** @throws CocosError STATE_EVENT_ILLEGAL */
  sendLegal(event: ComputationEvent): void;
}

export interface FollowPort {
  /** Emits states as they change and, if `withLogs`, log lines, until the signal aborts. */
  follow(withLogs: boolean, signal: AbortSignal): AsyncGenerator<FollowItem>;
}

export interface LogPort {
  add(stream: 'stdout' | 'stderr', line: string): void;
}

/** The attestations of this boot, each with at most one session on it. */
export interface EvidencePort {
  /** Fresh evidence over a 32-byte nonce. @throws CocosError LIMIT_EXCEEDED, EVIDENCE_UNAVAILABLE */
  collect(nonce: Uint8Array): Promise<Uint8Array>;
  /** Address of the attestation that produced the evidence with this digest. */
  addressOf(evidenceDigest: string): string | null;
  find(address: string): ReturnType<ActorRefFrom<typeof attestationMachine>['getSnapshot']> | null;
  send(address: string, event: AttestationEvent): void;
}

/** Sources of the evidence that the agent bundles. */
export interface PlatformPort {
  /** @throws CocosError EVIDENCE_UNAVAILABLE before the platform was detected */
  readonly reportProvider: ReportProvider;
  readonly vtpm: Pick<Vtpm, 'quote'> | null;
  readonly dice: Pick<GuestChain, 'rootKey' | 'certificates'> | null;
  /** Creates the DICE chain unless it exists; a no-op in process mode. */
  openChain(): Promise<void>;
  /** The claims in the encoding that the evidence hashes. */
  claims(manifestDigest: string | null): Uint8Array;
}

export type TransferTerms = Extract<SealedRequest, { method: 'transfer.open' }>;

/** One stream of segments into a transfer. */
export interface UploadStream {
  /** Index of the next segment. */
  readonly nextIndex: number;
  /** Bytes of the longest sealed segment. */
  readonly segmentBytes: number;
  /** Decrypts a segment in place. The caller may reuse its memory once the next call has returned. */
  take(index: number, last: boolean, ciphertext: Uint8Array): Promise<void>;
  /** The sender ended its stream. Returns the number of segments received so far. */
  end(): number;
  /** The stream broke or carried bytes that do not decrypt. The sender may reconnect unless the error is final. */
  interrupt(error: Error): void;
}

export interface TransferPort {
  /** Starts a transfer, or continues the one that the same participant began. */
  open(session: Session, terms: TransferTerms): Promise<TransferOpened>;
  /** Waits until the transfer is committed. @throws CocosError of the transfer's cause, TRANSFER_NOT_FOUND */
  finish(session: Session, id: string): Promise<TransferFinished>;
  /** @throws CocosError TRANSFER_NOT_FOUND, STATE_EVENT_ILLEGAL */
  abort(session: Session, id: string): void;
  /** Redeems a ticket; `attach` connects the stream. @throws CocosError SESSION_NOT_FOUND for an unknown ticket */
  redeem(ticket: Uint8Array): { readonly sessionId: string; readonly attach: () => UploadStream };
  /** Revokes the unused tickets of a session that ended. */
  revokeTickets(sessionId: string): void;
}

/** The committed inputs as the run reads them. */
export interface InputsPort {
  readonly algorithmFile: string;
  committedFile(input: string): string;
  /** Where a dataset that is a directory is unpacked. */
  unpackedFolder(input: string): string;
  /** Deletes all inputs. */
  clear(): Promise<void>;
}

export interface ResultPort {
  readonly aead: Session['aead'];
  /** Null until the receipt is signed. */
  readonly receipt: { readonly bytes: Uint8Array; readonly signature: Uint8Array } | null;
  /** @throws CocosError RESULT_NOT_READY */
  get(): SealedResult;
  /** Reads sealed segments from `first` on into the caller's memory. @throws CocosError RESULT_NOT_READY, INPUT_INVALID */
  read(first: number): Promise<ResultReader>;
  /** Reads sealed segments from `first` on. @throws CocosError as `read` */
  segments(first: number): AsyncIterable<SealedSegment>;
}
