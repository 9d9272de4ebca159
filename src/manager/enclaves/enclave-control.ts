import { type AnyActor, type AnyMachineSnapshot, waitFor } from 'xstate';
import { CocosError } from '../../errors.ts';
import type { TeePlatform } from '../../machines/enclave.events.ts';
import type { ManagerEvent } from '../../machines/manager.machine.ts';
import { systemClock } from '../../runtime/clock.ts';
import { VERSION } from '../../version.ts';
import type { ManagerConfig } from '../config.ts';
import { sendPublicEvent } from '../control/commands.ts';
import type { ControlBackend } from '../control/control-backend.ts';
import type { Directory } from '../control/directory.ts';
import { choosePlatform } from '../guests/platforms/platforms.ts';
import type { MirrorJournal } from '../store/mirror-journal.ts';
import { actorKey } from '../store/recovery.ts';
import type { Store } from '../store/store.ts';
import type { EnclaveRegistry } from './enclave-registry.ts';
import { type EnclaveRequest, readEnclaveRequest, requestedPlatform } from './enclave-request.ts';
import type { Platform } from './platform.ts';
import type { TeeHost } from './tee-host.ts';

/** How long an enclave may take to settle beyond the limit of its stop (COCOSAI_STOP_SECONDS): it is cleaned then. */
const CLEAN_LIMIT_MS = 60_000;

interface EnclaveControlOptions {
  readonly config: ManagerConfig;
  readonly registry: EnclaveRegistry;
  readonly directory: Directory;
  readonly journal: MirrorJournal;
  readonly store: Store;
  readonly platform: Platform;
  readonly tee: TeeHost;
  /** The manager's own machine. */
  readonly send: (event: ManagerEvent) => void;
  readonly isServing: () => boolean;
}

/** Creates, removes and drives enclaves: what clients of the control API and the management service may do. */
export class EnclaveControl implements ControlBackend {
  readonly directory: Directory;
  /** Where participants of other machines connect, `tcp:host:port` or `tls:host:port`; empty for nowhere. */
  participants = '';
  private readonly options: EnclaveControlOptions;

  constructor(options: EnclaveControlOptions) {
    this.options = options;
    this.directory = options.directory;
  }

  async describeHost(probe: boolean) {
    const { platform, config, tee } = this.options;
    const root = await platform.describeRoot();
    const { reports } = probe ? await tee.probe() : await tee.survey();
    const chosen = config.tee === 'auto' ? choosePlatform('auto', reports).platform : config.tee;
    return {
      version: VERSION,
      description: `${process.platform} ${process.arch}, ${config.mode} mode, ${describePlatform(chosen)}`,
      platforms: reports.map(({ slots, findings, ...report }) => ({
        ...report,
        slots: slots ?? undefined,
        findings: findings.map(({ remedy, ...finding }) => ({ ...finding, remedy: remedy ?? '' })),
      })),
      platform: chosen,
      emulatedRootPem: root.pem,
      emulatedRootDigest: root.digest,
    };
  }

  participantsAddress(address: string): string {
    const [kind, id] = address.split('/');
    return this.participants === '' || kind !== 'enclave' ? '' : `${this.participants}/${id}`;
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
    const { config, registry, send, isServing, tee } = this.options;
    // First, since nothing may come between the checks and the enclave.
    const { platform, slots } = await tee.choose(requestedPlatform(request, config));
    if (!isServing()) throw new CocosError('CANCELLED', 'The manager is stopping.');
    if (registry.size >= config.enclaveLimit) {
      throw new CocosError(
        'LIMIT_EXCEEDED',
        `This manager holds at most ${config.enclaveLimit} enclaves (COCOSAI_MAX_ENCLAVES): remove one first.`,
      );
    }
    this.checkSlots(platform, slots);
    const input = { ...readEnclaveRequest(request, platform, config), limits: config.limits };
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

  /** @throws CocosError LIMIT_EXCEEDED when the hardware protects as many guests as it can */
  private checkSlots(platform: TeePlatform, slots: number | null): void {
    if (slots === null) return;
    const taken = this.options.registry.all().filter(({ address }) => {
      const snapshot: AnyMachineSnapshot = this.directory.actor(address).getSnapshot();
      return !hasSettled(snapshot) && this.directory.enclave(address).platform === platform;
    });
    if (taken.length < slots) return;
    throw new CocosError(
      'LIMIT_EXCEEDED',
      `This host protects at most ${slots} ${platform} guests at a time: stop an enclave first.`,
    );
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

function describePlatform(platform: TeePlatform): string {
  return platform === 'emulated' ? 'no TEE hardware is used: EMULATED' : `TEE hardware: ${platform}`;
}

function hasSettled(snapshot: AnyMachineSnapshot): boolean {
  return snapshot.matches({ stopped: 'settled' }) || snapshot.matches({ failed: 'settled' });
}
