import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import type { SecurityProcessor } from '../../attestation/emulated/processor.ts';
import { digestFromText } from '../../crypto/digest.ts';
import type { CocosError } from '../../errors.ts';
import type { MirrorSet } from '../../link/mirror/mirror.ts';
import { type Listener, PORTS } from '../../link/transport/transport.ts';
import type { EnclaveEvent } from '../../machines/enclave.events.ts';
import type { EnclaveContext } from '../../machines/enclave.machine.ts';
import { systemClock } from '../../runtime/clock.ts';
import type { Trace } from '../../runtime/trace.ts';
import type { ManagerConfig } from '../config.ts';
import type { Guest } from '../guests/guest.ts';
import type { HostFacts } from '../guests/platforms/host-facts.ts';
import { findQemu } from '../guests/vm/find-program.ts';
import { HOST_LOG, SCRATCH } from '../guests/vm/vm-guest.ts';
import type { VtpmPool } from '../guests/vtpm-pool.ts';
import { relayPlace } from '../relay/relay.ts';
import type { RelayThread, RoutedRelay } from '../relay/relay-thread.ts';
import type { EnclaveJournal } from '../store/enclave-journal.ts';
import { watchBoot } from './boot-watch.ts';
import { checkDisk } from './disk-space.ts';
import { EnclaveLink } from './enclave-link.ts';
import { JournalReceiver } from './journal-receiver.ts';
import { readLaunch, writeLaunch } from './launch-file.ts';
import { type LaunchPlan, planLaunch } from './launch-plan.ts';
import { LogLimit, limitLog } from './log-limit.ts';
import { reportServer } from './report-server.ts';
import { Signal } from './signal.ts';
import { attachGuest, endOrphanGuest, startGuest } from './start-guest.ts';

/** How long the agent has to take a command. */
const COMMAND_TIMEOUT_MS = 15_000;
const SHUT_DOWN_COMMAND_MS = 3_000;
const POWER_OFF_MS = 8_000;

interface EnclaveHostOptions {
  readonly id: string;
  readonly config: ManagerConfig;
  readonly bootId: string;
  readonly mirrors: MirrorSet;
  /** Is called for a mirror that the agent has ended, with its full address. */
  readonly onRetired: (address: string) => void;
  readonly vtpms: VtpmPool;
  readonly relays: RelayThread;
  readonly trace: Trace | undefined;
  /** What was found on the host. */
  readonly facts: () => Promise<HostFacts>;
  /** Stands for the hardware, where there is none. */
  readonly processor: () => Promise<SecurityProcessor | null>;
  /** The enclave's context as it is now; an effect that goes on after a restart was given an older one. */
  readonly current: () => EnclaveContext;
  readonly journal: EnclaveJournal;
  /** Null while more of the agent's journal may be received. */
  readonly whenWritable: () => Promise<void> | null;
  readonly send: (event: EnclaveEvent) => void;
  readonly log: (message: string, fields?: Record<string, unknown>) => void;
}

/** Everything that one enclave holds on the host. Its machine decides when each part is created and released. */
export class EnclaveHost {
  readonly socketDir: string;
  readonly directory: string;
  private readonly options: EnclaveHostOptions;
  private readonly link: EnclaveLink;
  private plan: LaunchPlan | null = null;
  private guest: Guest | null = null;
  private launched = new Signal<Guest | null>();
  /** Settles when no launch is between starting its guest and recording it in `guest`. */
  private obtaining: Promise<void> = Promise.resolve();
  private relay: RoutedRelay | null = null;
  private listeners: Listener[] = [];

  constructor(options: EnclaveHostOptions) {
    this.options = options;
    const { id, bootId, mirrors, journal, onRetired, whenWritable, send, log, trace } = options;
    this.link = new EnclaveLink({
      receiver: new JournalReceiver({ mirrors, journal, onRetired }),
      ...{ id, bootId, whenWritable, send, log, trace },
    });
    this.socketDir = path.join(options.config.runDir, options.id);
    this.directory = path.join(options.config.stateDir, 'enclaves', options.id);
  }

  get logFile(): string {
    return path.join(this.directory, 'console.log');
  }

  async prepare(enclave: EnclaveContext, signal: AbortSignal): Promise<void> {
    const { config } = this.options;
    if (enclave.mode === 'vm') findQemu();
    await checkDisk(config);
    await mkdir(this.directory, { recursive: true, mode: 0o700 });
    await mkdir(this.socketDir, { recursive: true, mode: 0o700 });
    const [plan] = await Promise.all([
      planLaunch(config, enclave, this.options.facts),
      this.makeVtpm(enclave),
    ]);
    // A slow disk may have outlasted the deadline: nothing is opened for an enclave that has ended.
    if (signal.aborted) return;
    this.plan = plan;
    await writeLaunch(this.launchFile, this.plan);
    this.relay = await this.openRelay(null);
    this.options.send({
      type: 'enclave.prepared',
      relayAddress: this.relay.address,
      logFile: this.logFile,
      atMs: systemClock.monotonic(),
    });
  }

  /** Starts the guest, or takes over the one that an earlier run of the manager started, and reports its end. */
  async launch(signal: AbortSignal): Promise<void> {
    const enclave = this.options.current();
    this.plan ??= await readLaunch(this.launchFile);
    this.relay ??= await this.openRelay(enclave.relayAddress);
    if (signal.aborted) return;
    const guest = await this.obtainGuest(enclave, this.plan);
    // Whoever ended this launch has waited for the guest, and now releases it or hands it to the next launch.
    if (signal.aborted) return;
    if (guest === null) return this.options.send({ type: 'vm.exited', code: null, signal: null });
    await this.relay.route(guest.transport);
    if (!(await this.listen(guest, enclave, this.plan, signal))) return;
    this.options.send({
      type: 'vm.started',
      pid: guest.pid,
      accelerator: guest.accelerator,
      measurement: Buffer.from(this.plan.measurement).toString('hex'),
      atMs: systemClock.monotonic(),
    });
    // Its machine fails the enclave and cleans it, which ends the guest and the processes that serve it.
    guest.lost?.then((cause) => this.broken(cause), undefined);
    const { logBytes } = this.options.config;
    const limit = new LogLimit(this.logFile, logBytes);
    const boot = watchBoot(this.logFile, this.options.send, enclave.bootStep, limit);
    const endLimit = limitLog(path.join(this.directory, HOST_LOG), logBytes);
    const stop = () => {
      boot.stop();
      endLimit();
    };
    signal.addEventListener('abort', stop, { once: true });
    const exit = await guest.exited;
    endLimit();
    if (!(await boot.end())) this.options.send({ type: 'vm.exited', ...exit });
  }

  /** Null when the guest was started before and ended while no manager watched it. */
  private async obtainGuest(enclave: EnclaveContext, plan: LaunchPlan): Promise<Guest | null> {
    const guest = this.attachOrStart(enclave, plan);
    this.obtaining = guest.then(
      (obtained) => {
        this.guest = obtained;
        this.launched.set(obtained);
      },
      () => undefined,
    );
    await this.obtaining;
    return guest;
  }

  private async attachOrStart(enclave: EnclaveContext, plan: LaunchPlan): Promise<Guest | null> {
    const attached = await attachGuest(enclave, this.socketDir);
    if (attached !== null || enclave.pid !== null) return attached;
    return startGuest({
      config: this.options.config,
      enclave,
      plan,
      socketDir: this.socketDir,
      vtpmFolder: this.hasVtpm(enclave) ? this.vtpmFolder : null,
      logFile: this.logFile,
      notice: (message) => this.options.log(message),
    });
  }

  /** False when the launch was aborted meanwhile; nothing listens then. */
  private async listen(
    guest: Guest,
    enclave: EnclaveContext,
    plan: LaunchPlan,
    signal: AbortSignal,
  ): Promise<boolean> {
    const processor = enclave.platform === 'emulated' ? await this.options.processor() : null;
    if (signal.aborted) return false;
    const report = reportServer({
      launchLog: plan.launchLog,
      measurement: plan.measurement,
      hostData: enclave.manifestDigest === null ? new Uint8Array(32) : digestFromText(enclave.manifestDigest),
      processor,
    });
    // Reports first: an agent that is linked may ask for one at once.
    const listeners = [
      await guest.transport.listen(PORTS.report, report),
      await guest.transport.listen(PORTS.link, (stream) => this.link.give(stream)),
    ];
    if (signal.aborted) {
      await closeAll(listeners);
      return false;
    }
    this.listeners = listeners;
    return true;
  }

  private openRelay(before: string | null): Promise<RoutedRelay> {
    const { config, relays } = this.options;
    const place = relayPlace(config.relay, path.join(this.socketDir, 'relay.sock'), before);
    return relays.open(place, this.options.id);
  }

  startLink(): () => void {
    return this.link.start();
  }

  async handshake(enclave: EnclaveContext): Promise<void> {
    const description = await this.command('agent.describe', {});
    if (enclave.manifest !== null) await this.command('manifest.deliver', { manifest: enclave.manifest });
    const version = typeof description === 'object' && description !== null && 'version' in description;
    this.options.send({
      type: 'agent.ready',
      version: version ? String(description.version).slice(0, 64) : 'unknown',
    });
  }

  /** A command to the agent. @throws CocosError LINK_LOST when there is no link, or the agent's own error. */
  command(name: string, input: unknown): Promise<unknown> {
    return this.link.command(name, input, COMMAND_TIMEOUT_MS);
  }

  async shutDown(): Promise<void> {
    const guest = await Promise.race([this.launched.get(), delay(POWER_OFF_MS)]);
    if (guest === null || guest === undefined) return;
    const asked = this.link.isLive
      ? this.link.command('agent.shutDown', {}, SHUT_DOWN_COMMAND_MS).then(
          () => true,
          () => false,
        )
      : Promise.resolve(false);
    if (await asked) await Promise.race([guest.exited, delay(POWER_OFF_MS)]);
    await guest.quit();
  }

  /** Releases everything; safe to call at any point and more than once. */
  async clean(): Promise<void> {
    await this.release();
    this.options.send({ type: 'enclave.cleaned' });
  }

  /** Releases everything that the enclave holds on the host. */
  async release(): Promise<void> {
    this.link.close();
    await this.relay?.close();
    this.relay = null;
    await this.obtaining;
    if (this.guest !== null) await this.guest.kill();
    else await endOrphanGuest(this.options.current(), this.socketDir);
    await closeAll(this.listeners);
    this.listeners = [];
    await rm(this.socketDir, { recursive: true, force: true });
    await rm(this.vtpmFolder, { recursive: true, force: true });
    await rm(path.join(this.directory, SCRATCH), { force: true });
  }

  /** Releases the guest and leaves it running, so that the next launch takes it over. */
  async detach(): Promise<void> {
    this.link.stop();
    await this.obtaining;
    this.guest?.detach();
    this.guest = null;
    this.launched = new Signal();
    await closeAll(this.listeners);
    this.listeners = [];
  }

  broken(error: CocosError): void {
    this.options.log('an effect of the enclave failed', { error: error.toJSON() });
    this.options.send({ type: 'enclave.broken', cause: error.toJSON() });
  }

  /** Removes what `clean` leaves for inspection: logs. */
  async forget(): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
  }

  private get launchFile(): string {
    return path.join(this.directory, 'launch.json');
  }

  private get vtpmFolder(): string {
    return path.join(this.directory, 'vtpm');
  }

  private hasVtpm(enclave: EnclaveContext): boolean {
    // A vTPM of the host proves nothing against it, and hardware proves more.
    const isWanted = enclave.platform === 'emulated' && this.options.config.vtpm === 'swtpm';
    return enclave.mode === 'vm' && isWanted;
  }

  private async makeVtpm(enclave: EnclaveContext): Promise<void> {
    if (!this.hasVtpm(enclave)) return;
    await this.options.vtpms.take(this.vtpmFolder, path.join(this.directory, 'vtpm.log'));
  }
}

async function closeAll(listeners: readonly Listener[]): Promise<void> {
  await Promise.all(listeners.map((listener) => listener.close()));
}

function delay(ms: number): Promise<undefined> {
  return new Promise((resolve) => setTimeout(resolve, ms, undefined).unref());
}
