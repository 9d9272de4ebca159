import { randomUUID } from 'node:crypto';
import path from 'node:path';
import { type Actor, createActor, type Snapshot, waitFor } from 'xstate';
import { z } from 'zod';
import { CocosError } from '../errors.ts';
import { COMPUTATION_ADDRESS } from '../machines/agent.machine.ts';
import { enclaveMachine } from '../machines/enclave.machine.ts';
import { managerMachine, type RecoverInput } from '../machines/manager.machine.ts';
import { MirrorRecord } from '../machines/mirrored.ts';
import { type Bound, bindServer } from '../rpc/bind.ts';
import { ControlServiceService } from '../rpc/gen/cocosai/control/v1/control.ts';
import { systemClock } from '../runtime/clock.ts';
import { asyncEffect, clockEffect } from '../runtime/effects.ts';
import { inspectBoth, type Trace, traceTo } from '../runtime/trace.ts';
import { VERSION } from '../version.ts';
import type { ManagerConfig } from './config.ts';
import { sendPublicEvent } from './control/commands.ts';
import type { ControlBackend } from './control/control-backend.ts';
import { controlService } from './control/control-service.ts';
import { Directory, type Step } from './control/directory.ts';
import { enclaveEffects } from './enclaves/enclave-effects.ts';
import { EnclaveHost } from './enclaves/enclave-host.ts';
import { type EnclaveRequest, readEnclaveRequest } from './enclaves/enclave-request.ts';
import { Platform } from './enclaves/platform.ts';
import { restorable } from './enclaves/restorable.ts';
import { Supervisor } from './enclaves/supervisor.ts';
import { VtpmPool } from './guests/vtpm-pool.ts';
import type { Log } from './log.ts';
import { RelayThread } from './relay/relay-thread.ts';
import { EventExporter } from './service/event-exporter.ts';
import type { RunHandlers } from './service/run-requests.ts';
import { MirrorJournal } from './store/mirror-journal.ts';
import {
  actorKey,
  endOrphan,
  findOrphans,
  loadEnclave,
  loadEnclaves,
  nextSequences,
  type StoredEnclave,
  storeEnclave,
} from './store/recovery.ts';
import { lockState } from './store/state-lock.ts';
import { Store } from './store/store.ts';

const ManifestId = z.looseObject({ id: z.string() });

const NOTHING_TO_STORE = Promise.resolve();

/** How long an enclave may take to settle when it is stopped; longer than its machine's own limit. */
const SETTLE_LIMIT_MS = 45_000;

/** The manager process: root of its actor system and owner of what its enclaves hold on this host. */
export class Manager implements ControlBackend {
  readonly directory: Directory;
  private readonly config: ManagerConfig;
  private readonly log: Log;
  private readonly store: Store;
  private readonly journal: MirrorJournal;
  private readonly bootId = randomUUID();
  private readonly hosts = new Map<string, EnclaveHost>();
  private readonly platform: Platform;
  private readonly vtpms: VtpmPool;
  private readonly relays: RelayThread;
  private readonly root: Actor<typeof managerMachine>;
  private bound: Bound | null = null;

  /** Takes up what an earlier manager left in the state folder. */
  static async open(config: ManagerConfig, log: Log): Promise<Manager> {
    const unlock = await lockState(config.stateDir);
    const store = new Store(path.join(config.stateDir, 'store'));
    const stored = await loadEnclaves(store, log);
    const exporter = config.service === null ? null : await EventExporter.open(config.service, store, log);
    return new Manager(config, log, store, unlock, exporter, stored, await nextSequences(store));
  }

  private readonly unlock: () => Promise<void>;
  private readonly exporter: EventExporter | null;
  private readonly supervisor: Supervisor;
  private readonly trace: Trace | undefined;
  private readonly inspect: Trace;

  private constructor(
    config: ManagerConfig,
    log: Log,
    store: Store,
    unlock: () => Promise<void>,
    exporter: EventExporter | null,
    stored: readonly StoredEnclave[],
    firstSequence: number,
  ) {
    this.config = config;
    this.relays = new RelayThread(config.relayProgram, log);
    this.log = log;
    this.store = store;
    this.unlock = unlock;
    this.exporter = exporter;
    this.supervisor = new Supervisor({
      send: (event) => this.root.send(event),
      sendEnclave: (address, event) => this.directory.send(address, event),
      enclave: (address) => this.directory.enclave(address),
      stored: (address) => loadEnclave(store, address),
      detach: (address) => this.hostOf(address).detach(),
      abandon: (address) => this.abandon(address),
      restartService: () => this.startService(),
      log,
    });
    this.platform = new Platform(config.stateDir);
    this.vtpms = new VtpmPool(config.stateDir);
    this.directory = new Directory(
      firstSequence,
      (step) => this.persist(step),
      stored.map(({ address }) => address),
      (address, thrown) => this.supervisor.noteFailure(address, thrown),
    );
    this.trace = traceTo(config.traceFile);
    this.inspect = inspectBoth(this.directory.inspect, this.trace);
    this.journal = new MirrorJournal({
      store,
      firstNumber: firstSequence,
      mirrorsOf: (enclave) => this.directory.mirrorsOf(enclave),
      onFailure: ({ message }) =>
        log('error', 'what agents journaled could not be stored', { reason: message }),
    });
    for (const { address } of stored) this.hosts.set(address, this.createHost(address));
    const logic = this.provide();
    this.root = createActor(logic, {
      inspect: this.inspect,
      id: 'manager',
      systemId: 'manager',
      snapshot: withChildren(createActor(logic).getPersistedSnapshot(), stored),
    });
  }

  /** Resolves when the control service is open. @throws CocosError HOST_PORT_TAKEN or CONFIG_INVALID. */
  async start(): Promise<void> {
    this.dealWithOrphans();
    const refused = await this.journal.restore([...this.hosts.keys()]);
    this.root.start();
    for (const [address] of this.hosts) {
      // A request whose first event was lost with the manager.
      this.directory.send(address, { type: 'enclave.prepare', atMs: systemClock.monotonic() });
    }
    for (const key of refused) {
      this.log('error', 'a record was set aside', { record: key });
      await this.store.setAside(key);
    }
    const { context } = await waitFor(this.root, (snapshot) => !snapshot.matches('starting'));
    if (context.cause !== null) throw CocosError.fromJson(context.cause);
    if (this.config.mode === 'vm' && this.config.vtpm === 'swtpm') this.vtpms.prepare();
  }

  /** Begins to stop: first the enclaves, where they are not to go on, and then the service. */
  requestStop(): void {
    this.root.send({ type: 'manager.stop' });
  }

  /**
   * Resolves when the manager has stopped and nothing of it is left but what was to go on.
   *
   * @throws CocosError of an enclave that could not be removed
   */
  async ended(): Promise<void> {
    await waitFor(this.root, (snapshot) => snapshot.matches({ stopped: 'closed' }));
    this.root.stop();
    await this.relays.stop();
    await this.vtpms.close();
    await this.exporter?.stop();
    await this.directory.settled();
    await this.journal.close().catch((thrown: unknown) => {
      this.log('error', 'the journal could not be closed', { reason: CocosError.from(thrown).message });
    });
    await this.store.close();
    await this.unlock();
    const { cause } = this.root.getSnapshot().context;
    if (cause !== null) throw CocosError.fromJson(cause);
  }

  async describeHost() {
    const root = await this.platform.describeRoot();
    return {
      version: VERSION,
      description: `${process.platform} ${process.arch}, ${this.config.mode} mode, no TEE hardware: EMULATED`,
      emulatedRootPem: root.pem,
      emulatedRootDigest: root.digest,
    };
  }

  /** Address of an actor by its address, or by the name or id of an enclave. @throws CocosError ENCLAVE_NOT_FOUND */
  resolve(text: string): string {
    if (text === 'manager' || text === 'service' || text.startsWith('enclave/')) return text;
    for (const [address] of this.hosts) {
      if (address === `enclave/${text}` || this.enclaveName(address) === text) return address;
    }
    throw new CocosError('ENCLAVE_NOT_FOUND', `There is no enclave ${text}.`);
  }

  /** Address of the new enclave. @throws CocosError INPUT_INVALID, MANIFEST_INVALID, ENCLAVE_EXISTS, LIMIT_EXCEEDED */
  async createEnclave(request: EnclaveRequest): Promise<string> {
    if (!this.root.getSnapshot().matches('serving'))
      throw new CocosError('CANCELLED', 'The manager is stopping.');
    if (this.hosts.size >= this.config.enclaveLimit) {
      throw new CocosError(
        'LIMIT_EXCEEDED',
        `This manager holds at most ${this.config.enclaveLimit} enclaves.`,
      );
    }
    const input = { ...readEnclaveRequest(request, this.config.mode), limits: this.config.limits };
    if ([...this.hosts.keys()].some((address) => this.enclaveName(address) === input.name)) {
      throw new CocosError('ENCLAVE_EXISTS', `There is an enclave ${input.name} already.`);
    }
    const address = `enclave/${input.id}`;
    this.hosts.set(address, this.createHost(address));
    this.root.send({ type: 'enclave.requested', address, input });
    this.directory.send(address, { type: 'enclave.prepare', atMs: systemClock.monotonic() });
    await this.directory.settled();
    return address;
  }

  /** Stops the enclave if it runs, and forgets it. */
  async removeEnclave(address: string): Promise<void> {
    const host = this.hostOf(address);
    await this.settle(address);
    this.root.send({ type: 'enclave.removed', address });
    this.directory.remove(address);
    this.hosts.delete(address);
    await Promise.all([this.store.remove(actorKey(address)), this.journal.remove(address)]);
    await this.directory.settled();
    await host.forget();
  }

  async sendEvent(address: string, event: unknown): Promise<void> {
    await sendPublicEvent(this.directory, (enclave) => this.hostOf(enclave), address, event);
    await this.directory.settled();
  }

  private hostOf(address: string): EnclaveHost {
    const host = this.hosts.get(address);
    if (host === undefined) throw new CocosError('ENCLAVE_NOT_FOUND', `There is no enclave at ${address}.`);
    return host;
  }

  private enclaveName(address: string): unknown {
    return this.directory.enclave(address).name;
  }

  private createHost(address: string): EnclaveHost {
    const id = address.slice('enclave/'.length);
    return new EnclaveHost({
      id,
      config: this.config,
      bootId: this.bootId,
      mirrors: this.directory.mirrorsOf(address),
      noteRetired: (record) => this.noteRetired(address, record),
      journal: this.journal,
      whenWritable: () => this.exporter?.whenWritable() ?? this.journal.whenWritable(),
      processor: () => this.platform.processor(),
      vtpms: this.vtpms,
      relays: this.relays,
      trace: this.trace,
      current: () => this.directory.enclave(address),
      send: (event) => this.directory.send(address, event),
      log: (message, fields) => this.log('info', message, { enclave: id, ...fields }),
    });
  }

  /** Stores a step and, in the same transaction, what the management service is to be told of it. */
  private persist(step: Step): Promise<void> {
    const { address, actor } = step;
    const [enclave, own] = splitAddress(address);
    if (enclave === null) return NOTHING_TO_STORE;
    const stored =
      actor === null
        ? this.journal.touch(enclave, own)
        : storeEnclave(this.store, address, actor.getPersistedSnapshot()).catch((thrown: unknown) => {
            const reason = CocosError.from(thrown).message;
            this.log('error', 'a transition could not be stored', { address, reason });
          });
    const computationId = this.exporter === null ? null : this.computationOf(enclave);
    if (this.exporter === null || computationId === null) return stored;
    const recorded = this.exporter.record(computationId, step);
    // In this turn, when the frame that moved the mirror has been appended.
    queueMicrotask(() => this.journal.flush());
    return Promise.all([stored, recorded]).then(() => undefined);
  }

  /** Id of the computation of an enclave, from the manifest that it was made with or was given later. */
  private computationOf(enclave: string): string | null {
    const { manifest } = this.directory.enclave(enclave);
    if (manifest !== null) return manifest.id;
    const mirrored = this.directory.mirrorsOf(enclave).get(COMPUTATION_ADDRESS)?.context['manifest'];
    return ManifestId.safeParse(mirrored).data?.id ?? null;
  }

  /** What the management service asks for. */
  private runHandlers(): RunHandlers {
    const find = (computationId: string) =>
      [...this.hosts.keys()].find((address) => this.computationOf(address) === computationId);
    return {
      onRun: async (manifest, { name, mode, vcpus, memoryMib }) => {
        const manifestJson = JSON.stringify(manifest);
        const address = await this.createEnclave({ name, mode, vcpus, memoryMiB: memoryMib, manifestJson });
        return address.slice('enclave/'.length);
      },
      findRun: (computationId) => find(computationId)?.slice('enclave/'.length) ?? null,
      onStop: async (computationId) => {
        const address = find(computationId);
        if (address !== undefined)
          this.directory.send(address, { type: 'enclave.stop', atMs: systemClock.monotonic() });
      },
    };
  }

  /** A journal record may have ended its mirror. */
  private noteRetired(address: string, record: unknown): void {
    const retired = MirrorRecord.safeParse(record);
    if (!retired.success || retired.data.kind !== 'retired') return;
    void this.journal.touch(address, retired.data.address).catch(() => undefined);
    this.directory.forget(`${address}/${retired.data.address}`);
  }

  private dealWithOrphans(): void {
    const known = new Set([...this.hosts.keys()].map((address) => address.slice('enclave/'.length)));
    for (const { pid, enclave } of findOrphans(this.config.runDir, known)) {
      const ends = this.config.onOrphan === 'end';
      this.log('error', 'a guest that no record knows', { pid, enclave, ends });
      if (ends) endOrphan(pid);
    }
  }

  private startService(): void {
    this.exporter?.start(this.runHandlers(), {
      inspect: this.inspect,
      onFailure: (thrown) => this.supervisor.noteFailure('service', thrown),
    });
  }

  /** An enclave whose machine cannot be brought back: its guest ends, and its record is kept aside for people. */
  private async abandon(address: string): Promise<void> {
    await this.hostOf(address).release();
    this.directory.remove(address);
    this.hosts.delete(address);
    await this.store.setAside(actorKey(address));
    await this.journal.remove(address);
  }

  /** Asks an enclave to stop and waits until it has settled. */
  private async settle(address: string): Promise<void> {
    const actor = this.directory.actor(address);
    this.directory.send(address, { type: 'enclave.stop', atMs: systemClock.monotonic() });
    await waitFor(
      actor,
      (snapshot) => snapshot.matches({ stopped: 'settled' }) || snapshot.matches({ failed: 'settled' }),
      { timeout: SETTLE_LIMIT_MS },
    );
  }

  private async open(): Promise<void> {
    // Nobody is served before what an earlier manager told can be told again.
    await this.directory.settled();
    this.bound = await bindServer({
      address: this.config.listen,
      tls: this.config.tls,
      services: [{ definition: ControlServiceService, handlers: controlService(this) }],
    });
    this.log('info', 'the control service is open', { address: this.bound.address });
    this.startService();
    this.root.send({ type: 'manager.opened' });
  }

  private async empty(): Promise<void> {
    if (this.config.onStop === 'stop') {
      const removed = await Promise.allSettled(
        [...this.hosts.keys()].map((address) => this.removeEnclave(address)),
      );
      const refused = removed.find((each) => each.status === 'rejected');
      if (refused !== undefined) throw refused.reason;
    }
    this.root.send({ type: 'manager.emptied' });
  }

  private async close(): Promise<void> {
    await this.bound?.close();
    this.root.send({ type: 'manager.closed' });
  }

  private provide() {
    const broken = (error: CocosError) => {
      this.log('error', error.message, { code: error.code });
      this.root.send({ type: 'manager.broken', cause: error.toJSON() });
    };
    const enclave = enclaveMachine.provide({
      actors: { ...enclaveEffects((id) => this.hostOf(`enclave/${id}`)), clock: clockEffect() },
    });
    return managerMachine.provide({
      actors: {
        enclave: restorable(enclave, ({ id }) => this.supervisor.takeRestored(id)),
        recover: asyncEffect<RecoverInput>(
          (input, signal) => this.supervisor.recover(input, signal),
          (error, { address }) =>
            this.log('error', 'an actor could not be brought back', { address, reason: error.message }),
        ),
        open: asyncEffect<object>(() => this.open(), broken),
        empty: asyncEffect<object>(() => this.empty(), broken),
        close: asyncEffect<object>(() => this.close(), broken),
      },
    });
  }
}

/** `enclave/7f3a/transfer/x` is `transfer/x` of `enclave/7f3a`; other actors are of no enclave. */
function splitAddress(address: string): readonly [enclave: string | null, own: string] {
  if (!address.startsWith('enclave/')) return [null, ''];
  const end = address.indexOf('/', 'enclave/'.length);
  return end === -1 ? [address, ''] : [address.slice(0, end), address.slice(end + 1)];
}

/** A root's first snapshot with the enclaves of an earlier run as its children. */
function withChildren(root: Snapshot<unknown>, stored: readonly StoredEnclave[]): Snapshot<unknown> {
  const children = 'children' in root && typeof root.children === 'object' ? root.children : {};
  const enclaves = stored.map(({ address, snapshot }) => [
    address,
    { src: 'enclave', snapshot, systemId: address, syncSnapshot: false },
  ]);
  return Object.assign({}, root, { children: { ...children, ...Object.fromEntries(enclaves) } });
}
