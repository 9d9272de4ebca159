import { Manifest } from '../../src/machines/manifest.ts';
import type { Address, TlsFiles } from '../../src/rpc/address.ts';
import { type Bound, bindServer } from '../../src/rpc/bind.ts';
import {
  type ComputationManagementServiceServer,
  ComputationManagementServiceService,
  type EnclaveWishes,
} from '../../src/rpc/gen/cocosai/service/v1/service.ts';
import type { Computation, StreamOwner } from './computation.ts';
import { type Entry, Journal } from './journal.ts';
import { ManagerStream } from './manager-stream.ts';

/** A small computation management service: it defines computations, hands them to managers and keeps their events. */

export interface ReferenceServiceOptions {
  readonly address: Address;
  readonly tls: TlsFiles;
  /** File of the journal. */
  readonly file: string;
  readonly serviceId: string;
  /** Told of everything that is new, after it was appended and perhaps before it is on the disk. */
  readonly onEntry?: (entry: Entry) => void;
}

const NO_WISHES: EnclaveWishes = { name: '', mode: '', platform: '', vcpus: 0, memoryMib: 0 };

export class ReferenceService implements StreamOwner {
  readonly serviceId: string;
  readonly computations = new Map<string, Computation>();
  /** Last event that was taken in, by outbox and computation. */
  private readonly sequences = new Map<string, number>();
  private readonly streams = new Set<ManagerStream>();
  private readonly onEntry: (entry: Entry) => void;
  private journal: Journal | null = null;
  private bound: Bound | null = null;

  private constructor({ serviceId, onEntry = () => undefined }: ReferenceServiceOptions) {
    this.serviceId = serviceId;
    this.onEntry = onEntry;
  }

  /** Takes up what the journal holds and listens. */
  static async open(options: ReferenceServiceOptions): Promise<ReferenceService> {
    const service = new ReferenceService(options);
    service.journal = await Journal.open(options.file, (entry) => service.apply(entry));
    const connect: ComputationManagementServiceServer['connect'] = (call) => {
      const stream = new ManagerStream(service, call);
      service.streams.add(stream);
      call.once('close', () => service.streams.delete(stream));
    };
    service.bound = await bindServer({
      address: options.address,
      tls: options.tls,
      services: [{ definition: ComputationManagementServiceService, handlers: { connect } }],
    });
    return service;
  }

  get address(): string {
    return this.bound?.address ?? '';
  }

  /** Defines a computation; the first manager that is there will be asked to run it. */
  async define(manifest: unknown, wishes: EnclaveWishes = NO_WISHES): Promise<string> {
    const { id } = Manifest.parse(manifest);
    if (this.computations.has(id)) throw new Error(`${id} is defined already`);
    this.record({ kind: 'defined', computationId: id, manifestJson: JSON.stringify(manifest), wishes });
    await this.sync();
    for (const stream of this.streams) stream.ask();
    return id;
  }

  /** Wants a computation to be stopped; its manager is asked until it has answered. */
  async stop(computationId: string): Promise<void> {
    if (this.computations.get(computationId)?.stop !== 'none') return;
    this.record({ kind: 'stopWanted', computationId });
    await this.sync();
    for (const stream of this.streams) stream.ask();
  }

  async close(): Promise<void> {
    for (const stream of this.streams) stream.end();
    await this.bound?.close();
    await this.journal?.close();
  }

  /** The last event of a computation that was taken in from this outbox; 0 before the first. */
  lastSequence(outboxId: string, computationId: string): number {
    return this.sequences.get(`${outboxId} ${computationId}`) ?? 0;
  }

  record(entry: Entry): void {
    this.journal?.append(entry);
    this.apply(entry);
    this.onEntry(entry);
  }

  /** Nothing is acknowledged, and nobody is asked, before the reason for it is on the disk. */
  async sync(): Promise<void> {
    await this.journal?.sync();
  }

  private apply(entry: Entry): void {
    const { computationId } = entry;
    if (entry.kind === 'event') {
      this.sequences.set(`${entry.outboxId} ${computationId}`, entry.sequence);
      return;
    }
    if (entry.kind === 'defined') {
      const { manifestJson, wishes } = entry;
      const open = { managerId: null, isAnswered: false, enclaveId: null, refusal: null } as const;
      this.computations.set(computationId, { computationId, manifestJson, wishes, ...open, stop: 'none' });
      return;
    }
    const computation = this.computations.get(computationId);
    if (computation === undefined) return;
    switch (entry.kind) {
      case 'assigned':
        computation.managerId = entry.managerId;
        break;
      case 'answered':
        Object.assign(computation, {
          isAnswered: true,
          enclaveId: entry.enclaveId,
          refusal: entry.refusal,
        });
        break;
      case 'stopWanted':
        computation.stop = 'wanted';
        break;
      case 'stopAnswered':
        computation.stop = 'answered';
    }
  }
}
