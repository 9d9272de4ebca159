import { type AnyActor, type AnyMachineSnapshot, waitFor } from 'xstate';
import { CocosError } from '../../errors.ts';
import type { ManagerEvent } from '../../machines/manager.machine.ts';
import { systemClock } from '../../runtime/clock.ts';
import { VERSION } from '../../version.ts';
import type { ManagerConfig } from '../config.ts';
import { sendPublicEvent } from '../control/commands.ts';
import type { ControlBackend } from '../control/control-backend.ts';
import type { Directory } from '../control/directory.ts';
import type { MirrorJournal } from '../store/mirror-journal.ts';
import { actorKey } from '../store/recovery.ts';
import type { Store } from '../store/store.ts';
import type { EnclaveRegistry } from './enclave-registry.ts';
import { type EnclaveRequest, readEnclaveRequest } from './enclave-request.ts';
import type { Platform } from './platform.ts';

/** How long an enclave may take to settle beyond the limit of its stop (COCOSAI_STOP_SECONDS): it is cleaned then. */
const CLEAN_LIMIT_MS = 60_000;

interface EnclaveControlOptions {
  readonly config: ManagerConfig;
  readonly registry: EnclaveRegistry;
  readonly directory: Directory;
  readonly journal: MirrorJournal;
  readonly store: Store;
  readonly platform: Platform;
  /** The manager's own machine. */
  readonly send: (event: ManagerEvent) => void;
  readonly isServing: () => boolean;
}

/** Creates, removes and drives enclaves: what clients of the control API and the management service may do. */
export class EnclaveControl implements ControlBackend {
  readonly directory: Directory;
  private readonly options: EnclaveControlOptions;

  constructor(options: EnclaveControlOptions) {
    this.options = options;
    this.directory = options.directory;
  }

  async describeHost() {
    const { platform, config } = this.options;
    const root = await platform.describeRoot();
    return {
      version: VERSION,
      description: `${process.platform} ${process.arch}, ${config.mode} mode, no TEE hardware: EMULATED`,
      emulatedRootPem: root.pem,
      emulatedRootDigest: root.digest,
    };
  }

  resolve(text: string): string {
    if (text === 'manager' || text === 'service' || text.startsWith('enclave/')) return text;
    const found = this.options.registry
      .all()
      .find(({ id, address }) => id === text || this.directory.enclave(address).name === text);
    if (found === undefined)
      throw new CocosError('ENCLAVE_NOT_FOUND', `No enclave has the name or id '${text}'.`);
    return found.address;
  }

  async createEnclave(request: EnclaveRequest): Promise<string> {
    const { config, registry, send, isServing } = this.options;
    if (!isServing()) throw new CocosError('CANCELLED', 'The manager is stopping.');
    if (registry.size >= config.enclaveLimit) {
      throw new CocosError(
        'LIMIT_EXCEEDED',
        `This manager holds at most ${config.enclaveLimit} enclaves (COCOSAI_MAX_ENCLAVES): remove one first.`,
      );
    }
    const input = { ...readEnclaveRequest(request, config), limits: config.limits };
    if (registry.all().some(({ address }) => this.directory.enclave(address).name === input.name)) {
      throw new CocosError(
        'ENCLAVE_EXISTS',
        `An enclave with the name '${input.name}' already exists. Remove it or choose another name.`,
      );
    }
    const { address } = registry.add(`enclave/${input.id}`);
    send({ type: 'enclave.requested', address, input });
    this.directory.send(address, { type: 'enclave.prepare', atMs: systemClock.monotonic() });
    await this.directory.settled();
    return address;
  }

  async removeEnclave(address: string): Promise<void> {
    const { host } = this.options.registry.get(address);
    await this.settle(address);
    this.options.send({ type: 'enclave.removed', address });
    await this.forget(address, (writes) => writes.remove(actorKey(address)));
    await this.directory.settled();
    await host.forget();
  }

  isKnown(address: string): boolean {
    return this.options.registry.find(address) !== null;
  }

  /** Removes an enclave that has ended; does nothing for one that has not, or is gone already. */
  async removeEnded(address: string): Promise<void> {
    if (!this.isKnown(address)) return;
    if (hasSettled(this.directory.actor(address).getSnapshot())) await this.removeEnclave(address);
  }

  /** Ids of the computations whose enclaves have ended. */
  endedComputations(): string[] {
    return this.options.registry.all().flatMap(({ address }) => {
      const computation = this.computationOf(address);
      const isEnded = hasSettled(this.directory.actor(address).getSnapshot());
      return isEnded && computation !== null ? [computation] : [];
    });
  }

  /** Stops and removes every enclave. @throws CocosError of the first that could not be removed */
  async removeAll(): Promise<void> {
    const removed = await Promise.allSettled(
      this.options.registry.all().map(({ address }) => this.removeEnclave(address)),
    );
    const refused = removed.find((each) => each.status === 'rejected');
    if (refused !== undefined) throw refused.reason;
  }

  /** Gives up an enclave whose machine cannot be restored: its guest ends, and its record is set aside for inspection. */
  async abandon(address: string): Promise<void> {
    const { registry, store } = this.options;
    await registry.get(address).host.release();
    await store.setAside(actorKey(address));
    await this.forget(address, () => undefined);
  }

  async sendEvent(address: string, event: unknown): Promise<void> {
    const { registry } = this.options;
    await sendPublicEvent(this.directory, (enclave) => registry.get(enclave).host, address, event);
    await this.directory.settled();
  }

  /** Begins to stop an enclave. @throws CocosError ACTOR_NOT_FOUND */
  requestStop(address: string): void {
    this.directory.send(address, { type: 'enclave.stop', atMs: systemClock.monotonic() });
  }

  /** Address of the enclave of a computation; null for none. */
  findByComputation(computationId: string): string | null {
    const found = this.options.registry
      .all()
      .find(({ address }) => this.computationOf(address) === computationId);
    return found?.address ?? null;
  }

  /** Id of the computation of an enclave, from the manifest that this manager created it with or delivered to it. */
  computationOf(address: string): string | null {
    return this.directory.enclave(address).computationId;
  }

  private async forget(address: string, write: Parameters<Store['transact']>[0]): Promise<void> {
    const { registry, store, journal } = this.options;
    this.directory.remove(address);
    registry.delete(address);
    await store.transact((writes) => {
      write(writes);
      journal.remove(address, writes);
    });
  }

  /** Asks an enclave to stop and waits until it has settled. */
  private async settle(address: string): Promise<void> {
    const actor: AnyActor = this.directory.actor(address);
    this.requestStop(address);
    await waitFor(actor, hasSettled, { timeout: this.options.config.limits.stopMs + CLEAN_LIMIT_MS });
  }
}

function hasSettled(snapshot: AnyMachineSnapshot): boolean {
  return snapshot.matches({ stopped: 'settled' }) || snapshot.matches({ failed: 'settled' });
}
