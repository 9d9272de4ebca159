import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { type Actor, createActor, waitFor } from 'xstate';
import { CocosError } from '../errors.ts';
import { enclaveMachine } from '../machines/enclave.machine.ts';
import { managerMachine, type RecoverInput } from '../machines/manager.machine.ts';
import { type Bound, bindServer } from '../rpc/bind.ts';
import { ControlServiceService } from '../rpc/gen/cocosai/control/v1/control.ts';
import { systemClock } from '../runtime/clock.ts';
import { Components } from '../runtime/components.ts';
import { asyncEffect, clockEffect } from '../runtime/effects.ts';
import { inspectBoth, type Trace, traceTo } from '../runtime/trace.ts';
import type { ManagerConfig, ParticipantsConfig } from './config.ts';
import { controlService } from './control/control-service.ts';
import { Directory } from './control/directory.ts';
import { EnclaveControl } from './enclaves/enclave-control.ts';
import { enclaveEffects } from './enclaves/enclave-effects.ts';
import { EnclaveHost } from './enclaves/enclave-host.ts';
import { type Enclave, EnclaveRegistry } from './enclaves/enclave-registry.ts';
import { Platform } from './enclaves/platform.ts';
import { restorable, withEnclaves } from './enclaves/restorable.ts';
import { Supervisor } from './enclaves/supervisor.ts';
import { TeeHost } from './enclaves/tee-host.ts';
import { VtpmPool } from './guests/vtpm-pool.ts';
import type { Log } from './log.ts';
import { checkRelayProgram, RelayThread } from './relay/relay-thread.ts';
import { EventExporter } from './service/event-exporter.ts';
import { runHandlers } from './service/run-handlers.ts';
import { lockFolder, runFolder, stateFolder } from './store/folder-lock.ts';
import { MirrorJournal } from './store/mirror-journal.ts';
import {
  endOrphan,
  findOrphans,
  loadEnclave,
  loadEnclaves,
  nextSequences,
  type StoredEnclave,
} from './store/recovery.ts';
import { Store } from './store/store.ts';
import { TransitionStore } from './store/transition-store.ts';

/** What is open before the manager's actors are made. */
interface Opened {
  readonly store: Store;
  readonly exporter: EventExporter | null;
  readonly stored: readonly StoredEnclave[];
  readonly firstSequence: number;
  readonly components: Components;
}

/** The manager process: root of its actor system. It makes the parts, connects them, and stops them. */
export class Manager {
  readonly directory: Directory;
  readonly control: EnclaveControl;
  private readonly config: ManagerConfig;
  private readonly log: Log;
  private readonly store: Store;
  private readonly journal: MirrorJournal;
  private readonly bootId = randomUUID();
  private readonly registry: EnclaveRegistry;
  private readonly platform: Platform;
  private readonly vtpms: VtpmPool;
  private readonly tee: TeeHost;
  private readonly relays: RelayThread;
  private readonly root: Actor<typeof managerMachine>;
  private readonly exporter: EventExporter | null;
  private readonly supervisor: Supervisor;
  private readonly trace: Trace | undefined;
  private readonly inspect: Trace;
  private readonly components: Components;
  private bound: Bound | null = null;

  /**
   * Opens what an earlier manager left in the state folder.
   *
   * @throws CocosError STATE_LOCKED, CONFIG_INVALID, HOST_PROGRAM_MISSING, STORE_FAILED
   */
  static async open(config: ManagerConfig, log: Log): Promise<Manager> {
    const components = new Components();
    for (const { setting, nearest } of config.unknownSettings) {
      log('warning', `${setting} is not a setting and has no effect: did you mean ${nearest}?`, {
        ...{ setting, nearest },
      });
    }
    try {
      await checkRelayProgram(config.relayProgram);
      components.add('state lock', await lockFolder(stateFolder(config.stateDir)));
      // Guests in it that no record of this manager names are orphans: they must not be another manager's.
      components.add('run lock', await lockFolder(runFolder(config.runDir)));
      const store = new Store(path.join(config.stateDir, 'store'));
      components.add('store', () => store.close());
      const stored = await loadEnclaves(store, log);
      const exporter = config.service === null ? null : await EventExporter.open(config.service, store, log);
      const firstSequence = await nextSequences(store);
      return new Manager(config, log, { store, exporter, stored, firstSequence, components });
    } catch (thrown) {
      await components.stopAll(logFailure(log));
      throw thrown;
    }
  }

  private constructor(config: ManagerConfig, log: Log, opened: Opened) {
    const { store, exporter, stored, firstSequence, components } = opened;
    this.config = config;
    this.log = log;
    this.store = store;
    this.exporter = exporter;
    this.components = components;
    this.platform = new Platform(config.stateDir);
    this.relays = new RelayThread(config.relayProgram, log);
    this.vtpms = new VtpmPool(config.stateDir);
    this.tee = new TeeHost(config);
    this.registry = new EnclaveRegistry((id, address) => this.createEnclave(id, address));
    this.supervisor = this.createSupervisor();
    this.journal = new MirrorJournal({
      store,
      firstNumber: firstSequence,
      limits: config.mirrorLimits,
      mirrorsOf: (enclave) => this.registry.find(enclave)?.mirrors ?? null,
      onFailure: ({ code, message }) =>
        log('error', 'journal records of agents could not be stored', { code, reason: message }),
    });
    const transitions = new TransitionStore({
      ...{ store, journal: this.journal, exporter, log },
      computationOf: (enclave) => this.control.computationOf(enclave),
    });
    this.directory = new Directory(firstSequence, transitions, {
      restored: stored.map(({ address }) => address),
      onFailure: (address, thrown) => this.supervisor.recordFailure(address, thrown),
      ...{ history: config.historyLimits, mirrors: config.mirrorLimits },
    });
    this.control = new EnclaveControl({
      ...{ config, registry: this.registry, directory: this.directory, journal: this.journal },
      ...{ store, platform: this.platform, tee: this.tee },
      send: (event) => this.root.send(event),
      isServing: () => this.root.getSnapshot().matches('serving'),
    });
    this.trace = traceTo(config.traceFile);
    this.inspect = inspectBoth(this.directory.inspect, this.trace);
    for (const { address } of stored) this.registry.add(address);
    const logic = this.provide();
    this.root = createActor(logic, {
      inspect: this.inspect,
      id: 'manager',
      systemId: 'manager',
      snapshot: withEnclaves(createActor(logic).getPersistedSnapshot(), stored),
    });
    components.add('journal', () => this.journal.close());
    components.add('directory', () => this.directory.settled());
    if (exporter !== null) components.add('management service', () => exporter.stop());
    components.add('vTPM pool', () => this.vtpms.close());
    components.add('relays', () => this.relays.stop());
  }

  /**
   * Resolves when the control service is open. One that fails to start is stopped.
   *
   * @throws CocosError HOST_PORT_TAKEN or CONFIG_INVALID.
   */
  async start(): Promise<void> {
    this.endOrphans();
    const refused = await this.journal.restore(this.registry.all().map(({ address }) => address));
    await this.openGateway();
    this.components.add('actors', async () => void this.root.stop());
    this.root.start();
    for (const { address } of this.registry.all()) {
      // A request whose first event was lost with the manager.
      this.directory.send(address, { type: 'enclave.prepare', atMs: systemClock.monotonic() });
    }
    for (const key of refused) {
      this.log('error', 'a record was set aside', { record: key });
      await this.store.setAside(key);
    }
    const { context } = await waitFor(this.root, (snapshot) => !snapshot.matches('starting'));
    if (context.cause !== null) return this.ended();
    if (this.config.mode === 'process') return;
    // A failure is reported to whoever asks for it.
    this.tee.survey().catch(() => undefined);
    if (this.config.vtpm === 'swtpm') this.vtpms.prepare();
  }

  private async openGateway(): Promise<void> {
    const { participants } = this.config;
    if (participants === null) return;
    const { host, port, advertise } = participants;
    const gateway = await this.relays.serve({ host, port, tls: await readCertificate(participants) });
    const scheme = participants.tls === null ? 'tcp' : 'tls';
    this.control.participants = advertise === null ? gateway.address : `${scheme}:${advertise}`;
    this.log('info', 'the gateway of participants is open', {
      address: gateway.address,
      advertised: this.control.participants,
    });
  }

  /** Begins to stop: first the enclaves, unless they are to go on, and then the control service. */
  requestStop(): void {
    this.root.send({ type: 'manager.stop' });
  }

  /**
   * Resolves when the manager has stopped and every part of it is closed; guests that are to go on do.
   *
   * @throws CocosError of an enclave that could not be removed
   */
  async ended(): Promise<void> {
    await waitFor(this.root, (snapshot) => snapshot.matches({ stopped: 'closed' }));
    await this.components.stopAll(logFailure(this.log));
    const { cause } = this.root.getSnapshot().context;
    if (cause !== null) throw CocosError.fromJson(cause);
  }

  private createEnclave(id: string, address: string): Enclave {
    const mirrors = this.directory.createMirrors(address);
    const host = new EnclaveHost({
      ...{ id, mirrors, config: this.config, bootId: this.bootId },
      journal: this.journal.enclave(address),
      ...{ vtpms: this.vtpms, relays: this.relays, trace: this.trace },
      onRetired: (retired) => this.directory.forget(retired),
      whenWritable: () => this.whenWritable(address),
      facts: async () => (await this.tee.survey()).facts,
      processor: () => this.platform.processor(),
      current: () => this.directory.enclave(address),
      send: (event) => this.directory.send(address, event),
      log: (message, fields) => this.log('info', message, { enclave: id, ...fields }),
    });
    return { id, address, host, mirrors };
  }

  /** Null while the agent of an enclave may send; otherwise resolves when it may again. */
  private whenWritable(enclave: string): Promise<void> | null {
    const computationId = this.exporter === null ? null : this.control.computationOf(enclave);
    const waits = computationId === null ? null : this.exporter?.whenWritable(computationId);
    return waits ?? this.journal.whenWritable();
  }

  private createSupervisor(): Supervisor {
    return new Supervisor({
      send: (event) => this.root.send(event),
      sendEnclave: (address, event) => this.directory.send(address, event),
      enclave: (address) => this.directory.enclave(address),
      stored: (address) => loadEnclave(this.store, address),
      detach: (address) => this.registry.get(address).host.detach(),
      abandon: (address) => this.control.abandon(address),
      restartService: () => this.startService(),
      log: this.log,
    });
  }

  private endOrphans(): void {
    const known = new Set(this.registry.all().map(({ id }) => id));
    for (const { pid, enclave } of findOrphans(this.config.runDir, known)) {
      const ends = this.config.onOrphan === 'end';
      this.log('error', 'a guest process belongs to no recorded enclave', { pid, enclave, ends });
      if (ends) endOrphan(pid);
    }
  }

  private startService(): void {
    this.exporter?.start(runHandlers(this.control), {
      inspect: this.inspect,
      onFailure: (thrown) => this.supervisor.recordFailure('service', thrown),
    });
  }

  private async open(): Promise<void> {
    // Nobody is served before what an earlier manager published can be published again.
    await this.directory.settled();
    this.bound = await bindServer({
      address: this.config.listen,
      tls: this.config.tls,
      services: [{ definition: ControlServiceService, handlers: controlService(this.control) }],
    });
    this.log('info', 'the control service is open', { address: this.bound.address });
    this.startService();
    this.root.send({ type: 'manager.opened' });
  }

  private async empty(): Promise<void> {
    if (this.config.onStop === 'stop') await this.control.removeAll();
    this.root.send({ type: 'manager.emptied' });
  }

  private async close(): Promise<void> {
    await this.bound?.close();
    this.root.send({ type: 'manager.closed' });
  }

  private provide() {
    // `start` and `ended` throw the cause of the first, so it is not logged here as well.
    const broken = (error: CocosError) => this.root.send({ type: 'manager.broken', cause: error.toJSON() });
    const unclosed = (error: CocosError) => {
      logFailure(this.log)('control service', error);
      broken(error);
    };
    const hostOf = (id: string) => this.registry.get(`enclave/${id}`).host;
    const enclave = enclaveMachine.provide({ actors: { ...enclaveEffects(hostOf), clock: clockEffect() } });
    return managerMachine.provide({
      actors: {
        enclave: restorable(enclave, ({ id }) => this.supervisor.takeRestored(id)),
        recover: asyncEffect<RecoverInput>(
          (input, signal) => this.supervisor.recover(input, signal),
          (error, { address }) =>
            this.log('error', 'an actor could not be restarted', { address, reason: error.message }),
        ),
        open: asyncEffect<object>(() => this.open(), broken),
        empty: asyncEffect<object>(() => this.empty(), broken),
        close: asyncEffect<object>(() => this.close(), unclosed),
      },
    });
  }
}

function logFailure(log: Log) {
  return (component: string, { code, message }: CocosError) =>
    log('error', 'a component could not be stopped', { component, code, reason: message });
}

/** @throws CocosError CONFIG_INVALID */
async function readCertificate({ tls }: ParticipantsConfig) {
  if (tls === null) return null;
  const read = (file: string) =>
    readFile(file, 'utf8').catch((cause: unknown) => {
      throw new CocosError('CONFIG_INVALID', `The file ${file} of the gateway cannot be read.`, { cause });
    });
  return { certificate: await read(tls.certificate), key: await read(tls.key) };
}
