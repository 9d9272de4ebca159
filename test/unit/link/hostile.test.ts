import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type AnyEventObject, type AnyMachineSnapshot, initialTransition, transition } from 'xstate';
import { attestationModel, transferModel } from '../../../models/agent-children.model.ts';
import { computationModel } from '../../../models/computation.model.ts';
import { CocosError } from '../../../src/errors.ts';
import { MirrorSet, type Transition } from '../../../src/link/mirror/mirror.ts';
import { decodeFrame, encodeFrame } from '../../../src/link/wire/frame.ts';
import {
  kindOfAddress,
  MIRRORED,
  type MirroredKind,
  type MirrorRecord,
} from '../../../src/machines/mirrored.ts';
import { heldHeap } from '../../heap.ts';
import { Seeded } from '../../seeded.ts';
import { ADDRESSES, AgentSystem, stateOf } from './agent-system.ts';
import { isCharted } from './chart-moves.ts';
import { HostilePeer } from './hostile-peer.ts';
import { schemaArbitrary } from './schema-arbitrary.ts';

/** Frames and events for each side; the long form sends 100,000. */
const COUNT = Number(process.env['COCOSAI_HOSTILE_COUNT'] ?? 20_000);
const SEED = Number(process.env['COCOSAI_SEED'] ?? 4);
/** Allowed heap growth between a fifth of a run and its end, including the noise of a test runner. */
const GROWTH_LIMIT = 8 * 2 ** 20;

const KINDS: Readonly<Record<(typeof ADDRESSES)[number], MirroredKind>> = {
  computation: 'computation',
  'transfer/t': 'transfer',
  'attestation/a': 'attestation',
};
const MODELS = {
  computation: computationModel('auto'),
  transfer: transferModel,
  attestation: attestationModel,
};

/** Events that the schemas accept, legal or not: those of the models, and arbitrary ones. */
const EVENTS: Readonly<Record<MirroredKind, readonly AnyEventObject[]>> = {
  computation: eventsOf('computation'),
  transfer: eventsOf('transfer'),
  attestation: eventsOf('attestation'),
};

function eventsOf(kind: MirroredKind): AnyEventObject[] {
  const { event } = MIRRORED[kind];
  const any = fc.sample(schemaArbitrary(event), { numRuns: 2_000, seed: SEED });
  return [...MODELS[kind].events, ...any].flatMap((each) => event.safeParse(each).data ?? []);
}

const unhandled: unknown[] = [];
const note = (reason: unknown) => unhandled.push(reason);

beforeEach(() => {
  process.on('unhandledRejection', note).on('uncaughtException', note);
});
afterEach(async () => {
  await new Promise((resolve) => setImmediate(resolve));
  process.off('unhandledRejection', note).off('uncaughtException', note);
  expect(unhandled.splice(0)).toEqual([]);
});

/** Runs `step` until `done` and returns the heap growth in bytes after the first fifth. */
async function growth(done: () => number, step: () => Promise<void> | void): Promise<number> {
  let early = 0;
  for (;;) {
    await step();
    if (early === 0 && done() >= COUNT / 5) early = heldHeap();
    if (done() >= COUNT) return heldHeap() - early;
  }
}

describe(`a hostile peer, seed ${SEED}`, () => {
  beforeEach(() => {
    vi.useFakeTimers({
      toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'],
    });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it(`neither crashes a manager nor moves its mirrors against their charts with ${COUNT} fuzzed frames`, async () => {
    const moves = { event: 0, other: 0 };
    const uncharted: string[] = [];
    const values = new Map<string, Transition['after']['value']>();
    const mirrors = new MirrorSet(({ address, event, from, after }: Transition) => {
      const kind = kindOfAddress(address);
      const before = from === '' ? undefined : values.get(address);
      values.set(address, after.value);
      moves[before === undefined ? 'other' : 'event'] += 1;
      if (kind !== null && (before === undefined || isCharted(kind, before, event, after.value))) return;
      uncharted.push(`${address}: ${event}`);
    });
    const bodies = (random: Seeded) => {
      const address = random.pick(ADDRESSES);
      const record = random.chance(0.4)
        ? { kind: 'started', address, input: MODELS[KINDS[address]].input ?? null }
        : { kind: random.chance(0.95) ? 'event' : 'retired', address };
      const event = random.pick(EVENTS[KINDS[address]]);
      const body = record.kind === 'event' ? { ...record, event } : record;
      return random.chance(0.1)
        ? { kind: 'snapshot' as const, body: { first: true, last: true, records: [body] } }
        : { kind: 'event' as const, body };
    };
    const states: (string | null)[] = [];
    const peer = new HostilePeer(new Seeded(SEED), 'agent', bodies, {
      onEvent: (body) => mirrors.apply(body),
      onSnapshot: (records, first) => {
        if (first) mirrors.clear();
        for (const record of records) mirrors.apply(record);
      },
      onState: (_state, reason) => {
        if (states.length < 10_000) states.push(reason);
      },
    });
    const grown = await growth(
      () => peer.sent,
      () => peer.session(),
    );
    expect(uncharted).toEqual([]);
    expect(moves.event).toBeGreaterThan(COUNT / 200);
    // Every stream that was closed for a fault was closed with a code.
    const reasons = new Set(states.flatMap((reason) => reason?.split(':', 1) ?? []));
    expect([...reasons]).toEqual(expect.arrayContaining(['FRAME_INVALID', 'LINK_PROTOCOL']));
    expect(reasons).not.toContain('INTERNAL');
    expect(grown).toBeLessThan(GROWTH_LIMIT);
  });

  it(`neither crashes an agent nor moves it except by commands with ${COUNT} fuzzed frames`, async () => {
    const commands: string[] = [];
    const published: MirrorRecord[] = [];
    const system = new AgentSystem((record) => published.push(record));
    system.start();
    const before = published.length;
    const bodies = (random: Seeded) => ({
      kind: random.pick(['command', 'reply', 'event'] as const),
      body: random.chance(0.8)
        ? { id: `${random.below(1e6)}`, name: random.pick(['agent.describe', 'wish', '']), input: {} }
        : { id: 'r', ok: random.chance(0.5), value: null },
    });
    const peer = new HostilePeer(new Seeded(SEED + 1), 'manager', bodies, {
      snapshot: () => system.authority.snapshot(),
      onCommand: (name) => {
        if (name !== 'agent.describe') return Promise.reject(new CocosError('INPUT_INVALID', 'unknown'));
        commands.push(name);
        return Promise.resolve({ version: 'test' });
      },
    });
    const grown = await growth(
      () => peer.sent,
      () => peer.session(),
    );
    expect(commands.length).toBeGreaterThan(COUNT / 200);
    expect(published.length).toBe(before);
    expect(grown).toBeLessThan(GROWTH_LIMIT);
    system.stop();
  });
});

describe(`an event that its schema accepts and its chart does not, seed ${SEED}`, () => {
  it(`moves no mirror, in ${COUNT} attempts`, async () => {
    const random = new Seeded(SEED);
    const moves: Transition[] = [];
    const mirrors = new MirrorSet((move) => moves.push(move));
    const snapshots = new Map<string, AnyMachineSnapshot>();
    const start = (address: (typeof ADDRESSES)[number]) => {
      const { machine, input } = MODELS[KINDS[address]];
      mirrors.apply({ kind: 'started', address, input: input ?? null });
      snapshots.set(address, initialTransition(machine, input)[0]);
    };
    for (const address of ADDRESSES) start(address);
    let illegal = 0;
    let sequence = 0;
    const seen = new Set<string>();
    const grown = await growth(
      () => illegal,
      () => {
        const address = random.pick(ADDRESSES);
        if (random.chance(0.02)) start(address);
        const events = EVENTS[KINDS[address]];
        const snapshot = snapshots.get(address);
        if (snapshot === undefined) throw new Error('every mirror was started');
        const event = random.chance(0.2) ? random.pick(MODELS[KINDS[address]].events) : random.pick(events);
        if (event.type.startsWith('xstate.')) return;
        moves.length = 0;
        sequence += 1;
        const record = { kind: 'event', address, event };
        mirrors.apply(
          decodeFrame(encodeFrame({ kind: 'event', seq: sequence, ack: 0, body: record }).subarray(4)).body,
        );
        if (snapshot.can(event)) {
          snapshots.set(address, transition(snapshot.machine, snapshot, event)[0]);
        } else {
          illegal += 1;
          seen.add(`${address} ${String(snapshot.value)}`);
          if (moves.length > 0) expect.unreachable(`${String(snapshot.value)} was moved by ${event.type}`);
        }
        const own = stateOf(snapshots.get(address));
        // The comparison of the test runner is too slow for so many.
        if (!isDeepStrictEqual(stateOf(mirrors.get(address)), own))
          expect(stateOf(mirrors.get(address))).toEqual(own);
      },
    );
    expect(seen.size).toBeGreaterThan(15);
    expect(grown).toBeLessThan(GROWTH_LIMIT);
  });

  it(`moves no actor of an agent and leaves no record, in ${COUNT} attempts`, async () => {
    const random = new Seeded(SEED);
    let published = 0;
    let system = new AgentSystem(() => {
      published += 1;
    });
    system.start();
    let illegal = 0;
    const seen = new Set<string>();
    const grown = await growth(
      () => illegal,
      () => {
        if (random.chance(0.005)) {
          system.stop();
          system = new AgentSystem(() => {
            published += 1;
          });
          system.start();
        }
        const address = random.pick(ADDRESSES);
        const events = EVENTS[KINDS[address]];
        const snapshot = system.get(address);
        if (snapshot === undefined) throw new Error('every actor was started');
        const event = random.chance(0.2) ? random.pick(MODELS[KINDS[address]].events) : random.pick(events);
        if (event.type.startsWith('xstate.')) return;
        const before = published;
        const legal = snapshot.can(event);
        system.send(address, event);
        if (legal) return;
        illegal += 1;
        seen.add(`${address} ${String(snapshot.value)}`);
        if (system.get(address) !== snapshot || published !== before)
          expect.unreachable(`${String(snapshot.value)} was moved by ${event.type}`);
      },
    );
    expect(seen.size).toBeGreaterThan(15);
    expect(grown).toBeLessThan(GROWTH_LIMIT);
    system.stop();
  });
});
