import { describe, expect, it } from 'vitest';
import type { AnyStateNode } from 'xstate';
import { type AnyMachineSnapshot, createActor, fromCallback } from 'xstate';
import { getAdjacencyMap } from 'xstate/graph';
import { z } from 'zod';
import { attestationModel, transferModel } from '../../../models/agent-children.model.ts';
import { computationModel } from '../../../models/computation.model.ts';
import type { Model } from '../../../models/explore.ts';
import { enclaveModel, linkModel, verifierModel } from '../../../models/host.model.ts';
import { agentModel, managerModel } from '../../../models/root.model.ts';
import { decodeMsgpack, encodeMsgpack } from '../../../src/link/wire/msgpack.ts';
import { AgentEvent } from '../../../src/machines/agent.machine.ts';
import { AttestationEvent } from '../../../src/machines/attestation.machine.ts';
import { ComputationEvent } from '../../../src/machines/computation.events.ts';
import { EnclaveEvent } from '../../../src/machines/enclave.events.ts';
import { LinkEvent } from '../../../src/machines/link.machine.ts';
import { ManagerEvent } from '../../../src/machines/manager.machine.ts';
import { PersistedSnapshot, readSnapshot, SNAPSHOT_KINDS } from '../../../src/machines/snapshot.ts';
import { TransferEvent } from '../../../src/machines/transfer.machine.ts';
import { VerifierEvent } from '../../../src/machines/verifier.machine.ts';

/** Properties of the chart of every machine. */

interface EventUnion {
  readonly options: readonly { readonly shape: { readonly type: { readonly value: string } } }[];
  safeParse(event: unknown): { readonly success: boolean };
}

const CHARTS: Readonly<Record<string, { readonly model: Model; readonly event: EventUnion & z.ZodType }>> = {
  computation: { model: computationModel('controlled'), event: ComputationEvent },
  transfer: { model: transferModel, event: TransferEvent },
  attestation: { model: attestationModel, event: AttestationEvent },
  enclave: { model: enclaveModel, event: EnclaveEvent },
  link: { model: linkModel, event: LinkEvent },
  verifier: { model: verifierModel, event: VerifierEvent },
  agent: { model: agentModel, event: AgentEvent },
  manager: { model: managerModel, event: ManagerEvent },
};

function nodesOf(node: AnyStateNode): AnyStateNode[] {
  return [node, ...Object.values(node.states).flatMap((child) => nodesOf(child as AnyStateNode))];
}

/** Every snapshot that the events of a model lead to. */
function snapshotsOf({ machine, input, events, distinguish }: Model): AnyMachineSnapshot[] {
  const key = ({ value, context }: AnyMachineSnapshot) =>
    JSON.stringify([value, distinguish?.(context) ?? null]);
  const map: Record<string, { readonly state: unknown }> = {
    ...getAdjacencyMap(machine, {
      events,
      input,
      serializeState: (snapshot) => key(snapshot as AnyMachineSnapshot),
      limit: 100_000,
    }),
  };
  return Object.values(map).map(({ state }) => state as AnyMachineSnapshot);
}

const throughMsgpack = (value: unknown) => decodeMsgpack(encodeMsgpack(value));

describe.each(Object.entries(CHARTS))('the chart of the %s machine', (_name, { model, event }) => {
  const nodes = nodesOf(model.machine.root);
  const taken = new Set(
    nodes.flatMap((node) => [...node.transitions.keys()]).filter((type) => !type.startsWith('xstate.')),
  );

  it('has no transition for an effect that throws, which is left to supervision', () => {
    const own = nodes.flatMap((node) =>
      node.invoke.filter(({ id }) => node.transitions.has(`xstate.error.actor.${id}`)).map(({ id }) => id),
    );
    expect(nodes.flatMap((node) => node.invoke).length).toBeGreaterThan(0);
    expect(own).toEqual([]);
  });

  it('has no delayed transition', () => {
    expect(nodes.filter((node) => node.after.length > 0).map((node) => node.id)).toEqual([]);
  });

  it('handles every event of its schema somewhere, and no other', () => {
    expect([...taken].sort()).toEqual(event.options.map(({ shape }) => shape.type.value).sort());
  });

  it('has a model whose events match its schema', () => {
    const own = model.events.filter(({ type }) => taken.has(type) && !/\.requested$/.test(type));
    const refused = own.filter((each) => !event.safeParse(each).success);
    expect(refused.map(({ type }) => type)).toEqual([]);
  });

  it('has a context that survives msgpack in every state', () => {
    const snapshots = snapshotsOf(model);
    expect(snapshots.length).toBeGreaterThan(3);
    for (const { context } of snapshots) expect(throughMsgpack(context)).toStrictEqual(context);
  });
});

describe('readSnapshot', () => {
  const refused = expect.objectContaining({ code: 'SNAPSHOT_INVALID' });
  const version = SNAPSHOT_KINDS['enclave']?.version ?? 0;
  const stored = snapshotsOf(enclaveModel).map((snapshot) => {
    const persisted = enclaveModel.machine.getPersistedSnapshot(snapshot);
    return { snapshot, persisted: throughMsgpack(JSON.parse(JSON.stringify(persisted))) };
  });

  it('restores an enclave in every state', () => {
    expect(stored.length).toBeGreaterThan(10);
    for (const { snapshot, persisted } of stored) {
      const actor = createActor(enclaveModel.machine, {
        snapshot: readSnapshot('enclave', version, persisted),
        input: enclaveModel.input,
      }).start();
      expect(actor.getSnapshot().status).toBe(snapshot.status);
      expect(actor.getSnapshot().value).toEqual(snapshot.value);
      expect(actor.getSnapshot().context).toEqual(snapshot.context);
      actor.stop();
    }
  });

  it('restores an effect that version 4 stored under another name', () => {
    const connected = stored.find(({ snapshot }) => snapshot.matches({ alive: 'connected' }));
    const { handshake, ...others } = PersistedSnapshot.parse(connected?.persisted).children;
    const older = {
      ...PersistedSnapshot.parse(connected?.persisted),
      children: { ...others, hail: { ...z.looseObject({}).parse(handshake), src: 'hail' } },
    };
    let runs = 0;
    const counted = fromCallback(() => {
      runs += 1;
    });
    const machine = enclaveModel.machine.provide({ actors: { handshake: counted } });
    const actor = createActor(machine, {
      snapshot: readSnapshot('enclave', 4, older),
      input: enclaveModel.input,
    });
    actor.start();
    expect(runs).toBe(1);
    actor.stop();
  });

  it('restarts an effect that had thrown', () => {
    let runs = 0;
    const throwing = fromCallback(() => {
      runs += 1;
      throw new Error('thrown');
    });
    const machine = enclaveModel.machine.provide({ actors: { prepare: throwing } });
    const actor = createActor(machine, { input: enclaveModel.input });
    let persisted: unknown = null;
    actor.subscribe({
      next: (snapshot) => {
        if (snapshot.value === 'preparing') persisted ??= machine.getPersistedSnapshot(snapshot);
      },
      error: () => undefined,
    });
    actor.start().send({ type: 'enclave.prepare', atMs: 1 });
    const snapshot = readSnapshot('enclave', version, throughMsgpack(JSON.parse(JSON.stringify(persisted))));
    const again = createActor(machine, { snapshot, input: enclaveModel.input });
    again.subscribe({ error: () => undefined });
    again.start();
    expect(runs).toBe(2);
  });

  const some = stored[0]?.persisted as Record<string, unknown>;
  it.each<[string, string, number, unknown]>([
    ['an unknown machine', 'toaster', version, some],
    ['a version of the future', 'enclave', version + 1, some],
    ['a version without a way to the present one', 'enclave', 0, some],
    ['a value that is no snapshot', 'enclave', version, 'hello'],
    ['an unknown state', 'enclave', version, { ...some, value: 'nowhere' }],
    ['an unknown inner state', 'enclave', version, { ...some, value: { alive: 'nowhere' } }],
    ['a state of the prototype', 'enclave', version, { ...some, value: 'constructor' }],
    ['an inner state of the prototype', 'enclave', version, { ...some, value: { constructor: {} } }],
    ['a state without its inner one', 'enclave', version, { ...some, value: 'alive' }],
    ['two states at once', 'enclave', version, { ...some, value: { failed: 'settled', stopped: 'settled' } }],
    ['no state at all', 'enclave', version, { ...some, value: {} }],
  ])('refuses %s', (_what, machine, at, snapshot) => {
    expect(() => readSnapshot(machine, at, snapshot)).toThrow(refused);
  });
});
