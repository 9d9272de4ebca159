import { type Actor, type ActorRefFrom, createActor, type InspectionEvent } from 'xstate';
import { CocosError } from '../errors.ts';
import { Authority } from '../link/mirror/authority.ts';
import { type AgentEvent, agentMachine, COMPUTATION_ADDRESS } from '../machines/agent.machine.ts';
import type { attestationMachine } from '../machines/attestation.machine.ts';
import { failedChild } from '../machines/child-failure.ts';
import type { computationMachine } from '../machines/computation.machine.ts';
import { refusalOf } from '../machines/legal.ts';
import { kindOfAddress, type MirrorRecord } from '../machines/mirrored.ts';
import type { transferMachine } from '../machines/transfer.machine.ts';
import type { Trace } from '../runtime/trace.ts';
import type { ActorsPort, ChildEvent } from './ports.ts';
import { PublicJournal } from './public-journal.ts';

type AgentActors = Parameters<typeof agentMachine.provide>[0]['actors'];

export interface ActorSystemOptions {
  /** Read once, when the system starts: the effects use parts that are built on this system. */
  readonly effects: () => NonNullable<AgentActors>;
  readonly publish: (record: MirrorRecord) => void;
  readonly trace: Trace | undefined;
  /** Called after a child other than the computation threw and was removed. */
  readonly onChildFailed: (address: string) => void;
}

/** The actor system of the agent: its root machine, the children, and the journal of what they do. */
export class ActorSystem implements ActorsPort {
  private readonly options: ActorSystemOptions;
  private readonly authority: Authority;
  private readonly journal: PublicJournal;
  private created: Actor<typeof agentMachine> | null = null;

  constructor(options: ActorSystemOptions) {
    this.options = options;
    this.authority = new Authority((record) => this.journal.add(record));
    this.journal = new PublicJournal(options.publish, () => this.authority.snapshot());
  }

  start(): void {
    this.root.start();
  }

  stop(): void {
    this.root.stop();
  }

  notify(event: AgentEvent): void {
    this.root.send(event);
  }

  send(address: string, event: ChildEvent): void {
    this.root.system.get(address)?.send(event);
  }

  sendLegal(address: string, event: ChildEvent): void {
    const child = this.root.system.get(address);
    if (child === undefined) throw new CocosError('ACTOR_NOT_FOUND', `There is no actor '${address}'.`);
    const refusal = refusalOf(child.getSnapshot(), event);
    if (refusal !== null) {
      const { state, legalEvents, guards } = refusal;
      throw new CocosError(
        'STATE_EVENT_ILLEGAL',
        `'${address}' is in state '${state}' and does not accept '${event.type}' there.`,
        { details: { state, legalEvents, ...(guards.length > 0 ? { guards } : {}) } },
      );
    }
    child.send(event);
  }

  get computation(): ActorRefFrom<typeof computationMachine> {
    return this.root.system.get(COMPUTATION_ADDRESS);
  }

  attestation(address: string): ActorRefFrom<typeof attestationMachine> | undefined {
    return this.root.system.get(address);
  }

  transfer(id: string): ActorRefFrom<typeof transferMachine> | undefined {
    return this.root.system.get(`transfer/${id}`);
  }

  retire(address: string): void {
    this.root.send({ type: 'child.retire', address });
    this.authority.retire(address);
  }

  /** The whole state, for a manager that the journal no longer reaches. */
  snapshot(): MirrorRecord[] {
    return this.journal.snapshot();
  }

  private get root(): Actor<typeof agentMachine> {
    this.created ??= createActor(agentMachine.provide({ actors: this.options.effects() }), {
      id: 'agent',
      inspect: (inspected) => {
        this.authority.inspect(inspected);
        this.superviseChild(inspected);
        this.options.trace?.(inspected);
      },
    });
    return this.created;
  }

  /** Reports a child that threw to the root, whose machine decides what follows. */
  private superviseChild(inspected: InspectionEvent): void {
    const failed = failedChild(inspected, 'agent');
    if (failed === null || kindOfAddress(failed.address) === null) return;
    const { address } = failed;
    this.root.send({ type: 'child.failed', address });
    if (address === COMPUTATION_ADDRESS) return;
    this.authority.retire(address);
    this.options.onChildFailed(address);
  }
}
