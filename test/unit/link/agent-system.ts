import fc from 'fast-check';
import { type AnyEventObject, type AnyMachineSnapshot, createActor } from 'xstate';
import { attestationModel, transferModel } from '../../../models/agent-children.model.ts';
import { computationModel } from '../../../models/computation.model.ts';
import { Authority } from '../../../src/link/mirror/authority.ts';
import type { MachineState } from '../../../src/link/mirror/compiled-machine.ts';
import { agentMachine } from '../../../src/machines/agent.machine.ts';
import { inert } from '../../../src/machines/effect.ts';
import type { MirrorRecord } from '../../../src/machines/mirrored.ts';

export const ADDRESSES = ['computation', 'transfer/t', 'attestation/a'] as const;

const MODELS = [computationModel('auto'), transferModel, attestationModel] as const;
const [computation, transfer, attestation] = MODELS;

/** The actors of an agent with inert effects, and the authority over three of them. */
export class AgentSystem {
  readonly authority: Authority;
  private readonly root;

  constructor(publish: (record: MirrorRecord) => void) {
    this.authority = new Authority(publish);
    this.root = createActor(
      agentMachine.provide({
        actors: {
          ...{ measure: inert(), listen: inert(), link: inert(), shutDown: inert() },
          computation: computation.machine as never,
          attestation: attestation.machine as never,
          transfer: transfer.machine as never,
        },
      }),
      { inspect: this.authority.inspect },
    );
  }

  start(): void {
    this.root.start();
    this.root.send({ type: 'agent.measured' });
    this.root.send({ type: 'agent.listening' });
    this.request('transfer/t');
    this.request('attestation/a');
  }

  /** Starts a transfer or an attestation. */
  request(address: 'transfer/t' | 'attestation/a'): void {
    if (address === 'transfer/t') {
      this.root.send({ type: 'transfer.requested', address, input: transfer.input as never });
    } else {
      this.root.send({ type: 'attestation.requested', address, input: attestation.input as never });
    }
  }

  retire(address: string): void {
    this.authority.retire(address);
    this.root.send({ type: 'child.retire', address });
  }

  send(address: string, event: AnyEventObject): void {
    const actor = this.root.system.get(address);
    // An effect fails only in a state that runs it.
    if (!event.type.startsWith('xstate.') || actor?.getSnapshot().can(event)) actor?.send(event);
  }

  get(address: string): AnyMachineSnapshot | undefined {
    return this.root.system.get(address)?.getSnapshot();
  }

  stop(): void {
    this.root.stop();
  }
}

/** An event, legal or not, for one of the three. */
export const anyEvent = fc.oneof(
  ...MODELS.map((model, index) =>
    fc.record({
      address: fc.constant(ADDRESSES[index] ?? ''),
      event: fc.constantFrom(...model.events),
    }),
  ),
);

/** The values that the mirror law compares. */
export function stateOf(snapshot: MachineState | null | undefined) {
  return snapshot === null || snapshot === undefined
    ? null
    : { value: snapshot.value, context: snapshot.context };
}
