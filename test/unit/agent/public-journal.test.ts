import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ActorSystem } from '../../../src/agent/actors.ts';
import { Attestations } from '../../../src/agent/evidence/attestations.ts';
import type { ActorsPort, ChildEvent, ComputationPort } from '../../../src/agent/ports.ts';
import { PublicJournal } from '../../../src/agent/public-journal.ts';
import { InputStore } from '../../../src/agent/transfers/input-store.ts';
import { UploadRegistry } from '../../../src/agent/transfers/upload-registry.ts';
import { CocosError } from '../../../src/errors.ts';
import { MirrorSet } from '../../../src/link/mirror/mirror.ts';
import { decodeMsgpack, encodeMsgpack } from '../../../src/link/wire/msgpack.ts';
import { ATTESTATION_LIMITS, attestationMachine } from '../../../src/machines/attestation.machine.ts';
import { computationMachine } from '../../../src/machines/computation.machine.ts';
import { inert } from '../../../src/machines/effect.ts';
import { Manifest } from '../../../src/machines/manifest.ts';
import type { MirrorRecord } from '../../../src/machines/mirrored.ts';
import { transferMachine } from '../../../src/machines/transfer.machine.ts';
import { ADDRESSES, AgentSystem, anyEvent, stateOf } from '../link/agent-system.ts';

const SECRET = 'row-of-a-dataset';
const KEY = `ed25519:${'A'.repeat(43)}`;
const digest = `sha256:${'0'.repeat(64)}`;
const manifest = Manifest.parse({
  version: 1,
  id: 'journal',
  name: 'journal',
  algorithm: { kind: 'python', digest, provider: KEY },
  datasets: [],
  consumers: [{ signing: KEY, kem: `x25519:${'K'.repeat(43)}` }],
});
const secretError = () =>
  new CocosError('TRANSFER_DIGEST_MISMATCH', `the bytes of ${SECRET}`, {
    details: { expected: digest, found: SECRET },
    cause: new Error(SECRET),
  });

/** An actor system with inert effects, and the host's mirrors of it. */
function startSystem() {
  const records: MirrorRecord[] = [];
  const mirrors = new MirrorSet(() => undefined);
  const effect = () => inert<never>() as never;
  const actors = new ActorSystem({
    effects: () => ({
      ...{ measure: effect(), listen: effect(), link: effect(), shutDown: effect() },
      computation: computationMachine.provide({
        actors: { runAlgorithm: effect(), sealResult: effect(), clock: effect() },
      }),
      attestation: attestationMachine.provide({ actors: { collect: effect(), clock: effect() } }),
      transfer: transferMachine.provide({
        actors: { check: effect(), release: effect(), clock: effect() },
      }),
    }),
    publish: (record) => {
      records.push(record);
      mirrors.apply(decodeMsgpack(encodeMsgpack(record)));
    },
    trace: undefined,
    onChildFailed: () => undefined,
  });
  actors.start();
  actors.notify({ type: 'agent.measured' });
  actors.notify({ type: 'agent.listening' });
  return { actors, records, mirrors };
}

/** Starts the computation's run. */
function startRun(actors: ActorSystem): void {
  actors.send('computation', { type: 'manifest.accepted', manifest, digest, atMs: 1 });
  actors.send('computation', { type: 'input.receiving', input: 'algorithm', transferId: 't' });
  actors.send('computation', { type: 'input.committed', input: 'algorithm', size: 1, digest, atMs: 2 });
}

/** An event as code without types could make it. */
const forged = (event: unknown) => event as ChildEvent;

describe('an event that reports an error to the host', () => {
  const sent: ChildEvent[] = [];
  const actors = { send: (_address: string, event: ChildEvent) => void sent.push(event) } as ActorsPort;

  it('carries the code of a refused upload and nothing of its bytes', () => {
    sent.length = 0;
    new UploadRegistry(actors, {} as ComputationPort, new InputStore('/nowhere'), 1).refuse(
      't',
      secretError(),
    );
    expect(sent).toEqual([{ type: 'transfer.refused', cause: { code: 'TRANSFER_DIGEST_MISMATCH' } }]);
  });

  it('carries the code of failed evidence and nothing of its text', () => {
    sent.length = 0;
    new Attestations(actors, ATTESTATION_LIMITS).fail('s', secretError());
    expect(sent).toEqual([{ type: 'evidence.failed', cause: { code: 'TRANSFER_DIGEST_MISMATCH' } }]);
  });
});

describe('the journal of the agent', () => {
  it.each<[string, unknown]>([
    ['a message of its own', { code: 'ALGORITHM_FAILED', message: SECRET }],
    ['a huge message', { code: 'ALGORITHM_FAILED', message: SECRET.repeat(100_000) }],
    ['a code that is a secret', { code: SECRET }],
    ['details that are not of a closed set', { code: 'ALGORITHM_FAILED', details: { found: SECRET } }],
    ['a limit that is a secret', { code: 'ALGORITHM_LIMIT', details: { limit: SECRET } }],
    ['an exit code out of bounds', { code: 'ALGORITHM_FAILED', details: { exitCode: 2 ** 40 } }],
  ])('survives a cause with %s and shows nothing of it', (_what, cause) => {
    const { actors, records, mirrors } = startSystem();
    startRun(actors);
    actors.send('computation', forged({ type: 'run.failed', cause }));
    expect(mirrors.get('computation')?.value).toBe('failed');
    expect(mirrors.get('computation')?.context['cause']).toMatchObject({ code: 'INTERNAL' });
    const late = new MirrorSet(() => undefined);
    for (const record of actors.snapshot()) late.apply(decodeMsgpack(encodeMsgpack(record)));
    expect(late.get('computation')?.context['cause']).toMatchObject({ code: 'INTERNAL' });
    expect(JSON.stringify([records, actors.snapshot()])).not.toContain(SECRET);
    actors.stop();
  });

  it('continues after a record that does not fit', () => {
    const { actors, mirrors, records } = startSystem();
    startRun(actors);
    actors.send(
      'computation',
      forged({ type: 'run.exited', exitCode: 0, runtime: SECRET.repeat(1000), startedMs: 1, endedMs: 2 }),
    );
    expect(mirrors.get('computation')?.value).toBe('sealingResults');
    actors.send('computation', { type: 'result.sealed', digest, size: 1 });
    expect(mirrors.get('computation')?.value).toBe('resultsReady');
    actors.send('computation', { type: 'result.delivered', consumer: KEY });
    expect(mirrors.get('computation')?.value).toBe('delivered');
    expect(JSON.stringify(records)).not.toContain(SECRET);
    actors.stop();
  });

  it('is the journal of the machines as long as every record fits', () => {
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 60 }), (events) => {
        const mirrors = new MirrorSet(() => undefined);
        const journal = new PublicJournal(
          (record) => {
            expect(record.kind).not.toBe('state');
            mirrors.apply(record);
          },
          () => system.authority.snapshot(),
        );
        const system: AgentSystem = new AgentSystem((record) => journal.add(record));
        system.start();
        for (const { address, event } of events) system.send(address, event);
        const late = new MirrorSet(() => undefined);
        for (const record of journal.snapshot()) late.apply(record);
        for (const address of ADDRESSES) {
          const own = stateOf(system.get(address));
          expect(stateOf(mirrors.get(address)), address).toEqual(own);
          expect(stateOf(late.get(address)), address).toEqual(own);
        }
        system.stop();
      }),
      { numRuns: 100 },
    );
  });

  it('omits an actor whose input does not fit', () => {
    const { actors, mirrors, records } = startSystem();
    const input = { transferId: 't', input: SECRET.repeat(1000), participant: KEY, size: 1, digest, atMs: 1 };
    actors.notify({ type: 'transfer.requested', address: 'transfer/t', input });
    actors.send('transfer/t', { type: 'transfer.attached' });
    actors.retire('transfer/t');
    expect(mirrors.addresses()).toEqual(['computation']);
    expect(JSON.stringify(records)).not.toContain(SECRET);
    actors.stop();
  });
});
