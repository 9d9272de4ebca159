import { rm } from 'node:fs/promises';
import path from 'node:path';
import {
  type Actor,
  type ActorRefFrom,
  createActor,
  type InspectionEvent,
  type SnapshotFrom,
  waitFor,
} from 'xstate';
import { encodeClaims } from '../attestation/evidence/claims.ts';
import { canonicalJson, digestFromText } from '../crypto/digest.ts';
import { CocosError } from '../errors.ts';
import type { Link } from '../link/link.ts';
import { Authority } from '../link/mirror/authority.ts';
import { type Listener, PORTS, type Transport } from '../link/transport/transport.ts';
import { type AgentEvent, agentMachine, COMPUTATION_ADDRESS } from '../machines/agent.machine.ts';
import type { AttestationEvent, attestationMachine } from '../machines/attestation.machine.ts';
import { failedChild } from '../machines/child-failure.ts';
import type { ComputationEvent } from '../machines/computation.events.ts';
import type { computationMachine } from '../machines/computation.machine.ts';
import { refusalOf } from '../machines/legal.ts';
import type { Manifest } from '../machines/manifest.ts';
import { kindOfAddress } from '../machines/mirrored.ts';
import { stateName } from '../machines/state-name.ts';
import type { TransferEvent, transferMachine } from '../machines/transfer.machine.ts';
import type { SignedReceipt } from '../protocol/receipt.ts';
import type { ComputationStatus, FollowItem } from '../rpc/sealed.ts';
import { systemClock } from '../runtime/clock.ts';

import { traceTo } from '../runtime/trace.ts';
import { agentEffects } from './agent-effects.ts';
import { agentLink } from './agent-link.ts';
import type { AgentConfig } from './config.ts';
import { type GuestChain, openGuestChain } from './evidence/dice/guest-chain.ts';
import type { CollectedEvidence } from './evidence/evidence.ts';
import { type AgentIdentity, claimsOf, createIdentity } from './evidence/identity.ts';
import { findReportProvider, type ReportProvider } from './evidence/report-provider.ts';
import type { Vtpm } from './evidence/tpm/vtpm.ts';
import { LogBuffer } from './run/log-buffer.ts';
import { ResultStore } from './run/result-store.ts';
import { openParticipantServer } from './sessions/participant-server.ts';
import { ParticipantService } from './sessions/participant-service.ts';
import type { Session } from './sessions/sessions.ts';
import { InputStore, type NewUpload, type Upload } from './transfers/input-store.ts';
import { quotasOf } from './transfers/quota-reservations.ts';

/** When what the first participant needs is made ready, if none has come before. */
const AFTER_READY_MS = 1_000;

/** This program in the guest. */
export const GUEST_PROGRAM = '/usr/lib/cocos/agent.js';

export type ChildEvent = ComputationEvent | AttestationEvent | TransferEvent;

/** The agent process: root of its actor system, with what its machines' effects work on. */
export class Agent {
  readonly identity: AgentIdentity = createIdentity();
  readonly inputs: InputStore;
  readonly results: ResultStore;
  readonly logs = new LogBuffer();
  readonly workDir: string;
  /** Null where there is no TPM: in process mode, and where the host gives none. */
  readonly vtpm: Vtpm | null;
  readonly collected = new Map<string, CollectedEvidence>();
  /** Addresses, by input. */
  private readonly latestTransfer = new Map<string, string>();
  signedReceipt: SignedReceipt | null = null;
  private readonly transport: Transport;
  private readonly authority: Authority;
  private readonly link: Link;
  private readonly root: Actor<typeof agentMachine>;
  private provider: ReportProvider | null = null;
  private chain: GuestChain | null = null;
  private chainOpened: Promise<void> | null = null;
  private readonly mode: AgentConfig['mode'];
  readonly limits: AgentConfig['limits'];
  private readonly transferWaitMs: number;
  private closers: Listener[] = [];
  private manifestMeasured: Promise<void> | null = null;

  constructor(config: AgentConfig, transport: Transport, vtpm: Vtpm | null, end: () => void) {
    this.vtpm = vtpm;
    this.mode = config.mode;
    this.limits = config.limits;
    this.transferWaitMs = config.transferWaitMs;
    const trace = traceTo(config.traceFile);
    this.workDir = config.workDir;
    this.transport = transport;
    this.inputs = new InputStore(config.workDir);
    this.results = new ResultStore(config.workDir);
    this.authority = new Authority((record) => this.link.publish(record));
    this.link = agentLink(this, transport, trace);
    this.root = createActor(agentMachine.provide({ actors: agentEffects(this, end) }), {
      id: 'agent',
      inspect: (inspected) => {
        this.authority.inspect(inspected);
        this.superviseChild(inspected);
        trace?.(inspected);
      },
    });
  }

  start(): void {
    this.root.start();
    // What no run will use any more does not lie there until the enclave ends.
    this.computationRef.subscribe((snapshot) => {
      if (snapshot.matches('stopped') || snapshot.matches('failed'))
        this.inputs.clear().catch(() => undefined);
    });
  }

  /** An event for the agent's own machine. */
  request(event: AgentEvent): void {
    this.root.send(event);
  }

  /** Sends an event to a child; one that is not legal now moves nothing. */
  send(address: string, event: ChildEvent): void {
    this.root.system.get(address)?.send(event);
  }

  /** @throws CocosError STATE_EVENT_ILLEGAL with the state, its events and the guard that said no. */
  sendLegal(address: string, event: ChildEvent): void {
    const child = this.root.system.get(address);
    if (child === undefined) throw new CocosError('ACTOR_NOT_FOUND', `There is no actor ${address}.`);
    const refusal = refusalOf(child.getSnapshot(), event);
    if (refusal !== null) {
      const { state, legalEvents, guards } = refusal;
      throw new CocosError(
        'STATE_EVENT_ILLEGAL',
        `${event.type} is not allowed for ${address} in the state ${state}.`,
        { details: { state, legalEvents, ...(guards.length > 0 ? { guards } : {}) } },
      );
    }
    child.send(event);
  }

  /** A child that has thrown is told to the root, whose machine decides what follows. */
  private superviseChild(inspected: InspectionEvent): void {
    const failed = failedChild(inspected, 'agent');
    if (failed === null || kindOfAddress(failed.address) === null) return;
    const { address, thrown } = failed;
    const { message } = CocosError.from(thrown);
    this.root.send({
      type: 'child.failed',
      address,
      reason: message,
      atMs: systemClock.monotonic(),
      chance: Math.random(),
    });
    if (address === COMPUTATION_ADDRESS) return;
    this.authority.retire(address);
    const [, id = ''] = address.split('/');
    const upload = this.inputs.find(id);
    if (upload !== undefined) this.giveUp(id, upload.input).catch(() => undefined);
  }

  /** Lets go of an upload whose transfer is over, and gives its place back to the computation. */
  async giveUp(transferId: string, input: string): Promise<void> {
    try {
      await this.inputs.discard(transferId);
    } finally {
      // What could not be removed keeps nobody from sending the input again.
      this.send(COMPUTATION_ADDRESS, { type: 'input.released', input });
    }
  }

  retire(address: string): void {
    this.root.send({ type: 'child.retire', address });
    this.collected.delete(address);
    this.authority.retire(address);
  }

  snapshotRecords() {
    return this.authority.snapshot();
  }

  get computation(): SnapshotFrom<typeof computationMachine> {
    return this.computationRef.getSnapshot();
  }

  get computationRef(): ActorRefFrom<typeof computationMachine> {
    return this.root.system.get(COMPUTATION_ADDRESS);
  }

  attestation(address: string): SnapshotFrom<typeof attestationMachine> | null {
    const ref: ActorRefFrom<typeof attestationMachine> | undefined = this.root.system.get(address);
    return ref?.getSnapshot() ?? null;
  }

  transfer(id: string): SnapshotFrom<typeof transferMachine> | null {
    const ref: ActorRefFrom<typeof transferMachine> | undefined = this.root.system.get(`transfer/${id}`);
    return ref?.getSnapshot() ?? null;
  }

  /** Lets an attestation collect its evidence. @throws CocosError of its cause */
  async collect(address: string): Promise<CollectedEvidence> {
    const ref: ActorRefFrom<typeof attestationMachine> | undefined = this.root.system.get(address);
    if (ref === undefined) throw new CocosError('EVIDENCE_UNAVAILABLE', 'The agent takes no challenges now.');
    ref.send({ type: 'attestation.collect' });
    const settled = await waitFor(
      ref,
      (snapshot) => !snapshot.matches('challenged') && !snapshot.matches('collecting'),
    );
    const evidence = this.collected.get(address);
    this.collected.delete(address);
    if (evidence !== undefined && settled.matches('evidenced')) return evidence;
    const { cause } = settled.context;
    throw new CocosError(cause?.code ?? 'EVIDENCE_UNAVAILABLE', cause?.message ?? 'No evidence in time.');
  }

  /** The transfer once it is committed or given up. */
  async transferSettled(id: string): Promise<{ cause: CocosError | null }> {
    const ref: ActorRefFrom<typeof transferMachine> = this.root.system.get(`transfer/${id}`);
    const settled = await waitFor(
      ref,
      (snapshot) => !snapshot.matches('receiving') && !snapshot.matches('checking'),
    );
    if (settled.matches('committed')) return { cause: null };
    const { cause } = settled.context;
    return {
      cause: new CocosError(
        cause?.code ?? 'STREAM_TRUNCATED',
        cause?.message ?? 'The transfer is not complete.',
      ),
    };
  }

  /** Makes the upload of an input that is still expected. @throws CocosError INPUT_NOT_EXPECTED, QUOTA_EXCEEDED, LIMIT_EXCEEDED */
  async beginUpload(session: Session, terms: NewUpload): Promise<Upload> {
    const { input, size, digest } = terms;
    const quotas = quotasOf(this.computation.context.manifest?.limits);
    const upload = await this.inputs.create(session, terms, quotas);
    try {
      this.sendLegal(COMPUTATION_ADDRESS, { type: 'input.receiving', input, transferId: upload.id });
    } catch (cause) {
      await this.inputs.discard(upload.id);
      throw new CocosError(
        'INPUT_NOT_EXPECTED',
        `The input ${input} was taken in already or is on its way.`,
        { cause },
      );
    }
    const address = `transfer/${upload.id}`;
    // An input that is expected again has an earlier transfer that is over: kept, they would add up without end.
    const earlier = this.latestTransfer.get(input);
    if (earlier !== undefined) this.retire(earlier);
    this.latestTransfer.set(input, address);
    this.root.send({
      type: 'transfer.requested',
      address,
      input: {
        ...{ transferId: upload.id, input, participant: session.participant, size, digest },
        ...{ waitMs: this.transferWaitMs, atMs: systemClock.monotonic() },
      },
    });
    return upload;
  }

  status(): ComputationStatus {
    const { value, context } = this.computation;
    return {
      state: stateName(value),
      inputs: Object.fromEntries(Object.entries(context.inputs).map(([name, input]) => [name, { ...input }])),
      result: context.result,
      exitCode: context.run?.exitCode ?? null,
      cause: context.cause,
    };
  }

  receipt(): SignedReceipt | null {
    return this.signedReceipt;
  }

  /** States as they change and, where wanted, log lines, until the signal. */
  async *follow(withLogs: boolean, signal: AbortSignal): AsyncGenerator<FollowItem> {
    // Lines first: whoever waits for a state still sees what was printed on the way to it.
    const queue: FollowItem[] = withLogs ? [...this.logs.lines()] : [];
    queue.push({ kind: 'status', status: this.status() });
    let wake: () => void = () => undefined;
    const push = (item: FollowItem) => {
      queue.push(item);
      wake();
    };
    const subscription = this.computationRef.subscribe(() => push({ kind: 'status', status: this.status() }));
    const unlisten = withLogs ? this.logs.listen(push) : () => undefined;
    const onAbort = () => wake();
    signal.addEventListener('abort', onAbort);
    try {
      while (!signal.aborted) {
        const item = queue.shift();
        if (item !== undefined) yield item;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      subscription.unsubscribe();
      unlisten();
      signal.removeEventListener('abort', onAbort);
    }
  }

  get reportProvider(): ReportProvider {
    if (this.provider === null)
      throw new CocosError('EVIDENCE_UNAVAILABLE', 'The platform is not known yet.');
    return this.provider;
  }

  /** Finds the platform. */
  async measure(): Promise<void> {
    this.provider = await findReportProvider(this.transport);
    this.root.send({ type: 'agent.measured' });
  }

  /** Opens the participants' service. */
  async listen(): Promise<void> {
    const server = await openParticipantServer(
      new ParticipantService(this),
      this.transport,
      PORTS.participants,
    );
    this.closers.push(server);
    this.root.send({ type: 'agent.listening' });
    setTimeout(() => {
      this.openChain()
        .then(server.load)
        .then(() => this.identity.kems)
        // The host may be away just now: what is missing is made for the first who needs it.
        .catch(() => undefined);
    }, AFTER_READY_MS).unref();
  }

  /** Measures the manifest that is about to be accepted: nothing of it is used before. */
  async measureManifest(manifest: Manifest, digest: string): Promise<void> {
    if (!this.computation.matches('awaitingManifest')) return;
    // A second delivery waits for the first: whichever is accepted was measured.
    this.manifestMeasured ??= this.measureOnce(manifest, digest);
    await this.manifestMeasured;
  }

  private async measureOnce(manifest: Manifest, digest: string): Promise<void> {
    try {
      await this.openChain();
    } catch (thrown) {
      this.manifestMeasured = null;
      throw thrown;
    }
    await this.vtpm?.measure('cocosai:manifest', Buffer.from(canonicalJson(manifest), 'utf8'));
    this.chain?.enterComputation(digestFromText(digest));
  }

  get dice(): GuestChain | null {
    return this.chain;
  }

  /** Takes the platform's secret into a chain of layers, once; in process mode there is none. */
  openChain(): Promise<void> {
    this.chainOpened ??= this.makeChain().catch((thrown: unknown) => {
      // A host that was away when it was asked may be there when it is asked again.
      this.chainOpened = null;
      throw thrown;
    });
    return this.chainOpened;
  }

  private async makeChain(): Promise<void> {
    if (this.mode !== 'guest') return;
    this.chain = await openGuestChain(await this.reportProvider.secret(), GUEST_PROGRAM);
  }

  /** The claims as they are hashed. */
  claims(manifestDigest: string | null): Uint8Array {
    const tpmAk = this.vtpm?.publicArea;
    const others = {
      ...(tpmAk === undefined ? {} : { tpmAk }),
      ...(this.chain === null ? {} : { diceLeaf: this.chain.leafDigest, diceRoot: this.chain.rootDigest }),
    };
    return encodeClaims(claimsOf(this.identity, this.reportProvider.platform, manifestDigest, others));
  }

  startLink(): () => void {
    this.link.start();
    return () => this.link.close();
  }

  /** Closes everything and forgets every input and key. */
  async shutDown(): Promise<void> {
    await Promise.all(this.closers.map((closer) => closer.close()));
    this.root.stop();
    await this.inputs.clear();
    await this.results.clear();
    await rm(path.join(this.workDir, 'results'), { recursive: true, force: true });
    this.identity.erase();
  }
}
