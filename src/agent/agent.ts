import { removeTree } from '../archive/remove-tree.ts';
import type { Link } from '../link/link.ts';
import { type Listener, PORTS, type Transport } from '../link/transport/transport.ts';
import { traceTo } from '../runtime/trace.ts';
import { ActorSystem } from './actors.ts';
import { agentEffects, type LifecyclePort, resultsDirOf } from './agent-effects.ts';
import { agentLink } from './agent-link.ts';
import type { AgentConfig } from './config.ts';
import { Attestations } from './evidence/attestations.ts';
import { createIdentity } from './evidence/identity.ts';
import { Platform } from './evidence/platform.ts';
import type { Vtpm } from './evidence/tpm/vtpm.ts';
import { Computation } from './run/computation.ts';
import { LogBuffer } from './run/log-buffer.ts';
import { ResultStore } from './run/result-store.ts';
import { openParticipantServer } from './sessions/participant-server.ts';
import { ParticipantService } from './sessions/participant-service.ts';
import { InputStore } from './transfers/input-store.ts';
import { UploadRegistry } from './transfers/upload-registry.ts';

/** When the agent prepares what the first participant needs, if none has connected before. */
const AFTER_READY_MS = 1_000;

/** The agent process: it makes the parts, connects them, and opens and closes what the process holds. */
export class Agent {
  readonly identity = createIdentity();
  readonly actors: ActorSystem;
  readonly platform: Platform;
  readonly computation: Computation;
  readonly transfers: UploadRegistry;
  readonly service: ParticipantService;
  private readonly inputs: InputStore;
  private readonly results: ResultStore;
  private readonly link: Link;
  private readonly transport: Transport;
  private readonly workDir: string;
  private readonly listeners: Listener[] = [];

  /** @param exit ends the process, after the agent has shut down */
  constructor(config: AgentConfig, transport: Transport, vtpm: Vtpm | null, exit: () => void) {
    const { identity } = this;
    const { limits, workDir } = config;
    const trace = traceTo(config.traceFile);
    const logs = new LogBuffer();
    this.transport = transport;
    this.workDir = workDir;
    this.inputs = new InputStore(workDir);
    this.results = new ResultStore(workDir);
    this.platform = new Platform(config.mode, transport, vtpm, identity);
    this.actors = new ActorSystem({
      effects: () => effects,
      publish: (record) => this.link.publish(record),
      trace,
      onChildFailed: (address) => {
        // The failure is reported already; a file that could not be deleted ends with the enclave.
        this.transfers.abandon(address.replace(/^transfer\//, '')).catch(() => undefined);
      },
    });
    const { actors, inputs, results, platform } = this;
    const notify = actors.notify.bind(actors);
    const computation = new Computation(actors, logs);
    const attestations = new Attestations(actors, limits);
    this.computation = computation;
    this.transfers = new UploadRegistry(actors, computation, inputs, config.transferWaitMs);
    const { transfers } = this;
    this.service = new ParticipantService({
      ...{ identity, limits, evidence: attestations, computation, transfers, results },
    });
    const effects = agentEffects({
      ...{ notify, lifecycle: this.lifecycle(exit), computation, attestations, platform, transfers },
      ...{
        inputs,
        results,
        logs,
        workDir,
        ownsFileSystem: config.mode === 'guest',
        signingKey: identity.signing.secretKey,
      },
    });
    this.link = agentLink(
      {
        ...{ notify, computation, platform, inspect: trace },
        bootId: Buffer.from(identity.bootId).toString('hex'),
        snapshot: () => actors.snapshot(),
      },
      transport,
    );
  }

  start(): void {
    this.actors.start();
    this.computation.onOver(() => {
      // Whatever could not be deleted is deleted when the enclave ends.
      this.inputs.clear().catch(() => undefined);
    });
  }

  /** Asks the agent to shut down. It calls `exit` when it has. */
  stop(): void {
    this.actors.notify({ type: 'agent.shutDown' });
  }

  private lifecycle(exit: () => void): LifecyclePort {
    return {
      detectPlatform: () => this.platform.detect(),
      listen: () => this.listen(),
      startLink: () => {
        this.link.start();
        return () => this.link.close();
      },
      shutDown: () => this.shutDown(),
      exit,
    };
  }

  private async listen(): Promise<void> {
    const server = await openParticipantServer(this.service, this.transport, PORTS.participants);
    this.listeners.push(server);
    setTimeout(() => {
      this.platform
        .openChain()
        .then(server.load)
        .then(() => this.identity.kems)
        // The host may be unreachable now; the first participant's request tries again.
        .catch(() => undefined);
    }, AFTER_READY_MS).unref();
  }

  private async shutDown(): Promise<void> {
    await Promise.all(this.listeners.map((listener) => listener.close()));
    this.actors.stop();
    this.identity.erase();
    await this.inputs.clear();
    await this.results.clear();
    await removeTree(resultsDirOf(this.workDir));
  }
}
