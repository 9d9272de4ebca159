import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type AnyEventObject,
  type AnyMachineSnapshot,
  type AnyStateMachine,
  assertEvent,
  assign,
  createMachine,
  initialTransition,
  setup,
  transition,
} from 'xstate';
import { attestationModel, transferModel } from '../../../models/agent-children.model.ts';
import { computationModel } from '../../../models/computation.model.ts';
import type { Model } from '../../../models/explore.ts';
import { CompiledMachine, type MachineState } from '../../../src/link/mirror/compiled-machine.ts';
import { nestedMachine } from './nested-machine.ts';

/** The interpreter and the table side by side, after the same events. */
interface Pair {
  readonly path: string;
  readonly snapshot: AnyMachineSnapshot;
  readonly state: MachineState;
}

function begin(compiled: CompiledMachine, { machine, input }: Model): Pair {
  const [snapshot] = initialTransition(machine, input);
  return equal(compiled, { path: 'start', snapshot, state: compiled.start(input) });
}

/** Both after one more event, or null if neither moved. */
function send(compiled: CompiledMachine, pair: Pair, event: AnyEventObject): Pair | null {
  const path = `${pair.path} ${event.type}`;
  // An unexpected error of an effect would end an interpreter; a mirror ignores it.
  const legal = pair.snapshot.can(event);
  const [snapshot] = legal ? transition(pair.snapshot.machine, pair.snapshot, event) : [pair.snapshot];
  const state = compiled.step(pair.state, event);
  expect(state !== null, path).toBe(snapshot !== pair.snapshot);
  return state === null ? null : equal(compiled, { path, snapshot, state });
}

function equal(compiled: CompiledMachine, pair: Pair): Pair {
  const { path, snapshot, state } = pair;
  expect({ value: state.value, context: state.context }, path).toEqual({
    value: snapshot.value,
    context: snapshot.context,
  });
  expect(compiled.restore(snapshot.value, snapshot.context), path).toEqual(state);
  return pair;
}

const keyOf = ({ state }: Pair) => JSON.stringify([state.value, state.context]);

const nested: Model = {
  machine: nestedMachine,
  events: ['go', 'back', 'again', 'inner', 'outer', 'jump', 'count', 'nothing', 'unheard'].map((type) => ({
    type,
  })),
};

const MODELS: readonly (readonly [string, Model])[] = [
  ['computation that starts by itself', computationModel('auto')],
  ['computation that is started', computationModel('controlled')],
  ['transfer', transferModel],
  ['attestation', attestationModel],
  ['machine with nested states', nested],
];

describe('CompiledMachine', () => {
  it.each(MODELS)('equals the interpreter for every event in every state of the %s', (_name, model) => {
    const compiled = new CompiledMachine(model.machine);
    const first = begin(compiled, model);
    const seen = new Set([keyOf(first)]);
    const open = [first];
    for (let pair = open.shift(); pair !== undefined && seen.size < 500; pair = open.shift()) {
      for (const event of model.events) {
        const next = send(compiled, pair, event);
        if (next === null || seen.has(keyOf(next))) continue;
        seen.add(keyOf(next));
        open.push(next);
      }
    }
    expect(seen.size).toBeGreaterThan(6);
  });

  it.each(MODELS)('equals the interpreter on random walks through the %s', (_name, model) => {
    const compiled = new CompiledMachine(model.machine);
    const states = new Set<string>();
    // Mostly legal events; otherwise a walk would rarely leave the first states.
    const choice = fc.record({ pick: fc.nat(1000), legal: fc.nat(3).map((number) => number > 0) });
    fc.assert(
      fc.property(fc.array(choice, { maxLength: 80 }), (choices) => {
        let pair = begin(compiled, model);
        for (const { pick, legal } of choices) {
          const { snapshot } = pair;
          const events = legal ? model.events.filter((each) => snapshot.can(each)) : model.events;
          const event = events[pick % events.length];
          if (event !== undefined) pair = send(compiled, pair, event) ?? pair;
          states.add(JSON.stringify(pair.state.value));
        }
      }),
      { numRuns: 500 },
    );
    expect(states.size).toBeGreaterThan(3);
  });

  it('restores no state that its chart does not have', () => {
    const compiled = new CompiledMachine(nestedMachine);
    for (const value of ['nowhere', 'work', 'toString', '', null, 1, {}, { work: 'nowhere' }, { work: {} }]) {
      expect(compiled.restore(value, {}), JSON.stringify(value)).toBeNull();
    }
    expect(compiled.restore({ work: { first: 'a', rest: 'b' } }, {})).toBeNull();
    expect(compiled.restore({ idle: 'idle' }, {})).toBeNull();
  });

  it('does not change the state when a guard throws', () => {
    const machine = setup({
      guards: {
        breaks: () => {
          throw new Error('broken');
        },
      },
    }).createMachine({
      context: {},
      initial: 'a',
      states: { a: { on: { go: { guard: 'breaks', target: 'b' } } }, b: {} },
    });
    const compiled = new CompiledMachine(machine);
    const state = compiled.start(undefined);
    expect(() => compiled.step(state, { type: 'go' })).toThrow('broken');
    expect(state.value).toBe('a');
  });

  it('throws without changing the state when an assignment asserts another event', () => {
    const machine = setup({
      types: { events: {} as { readonly type: 'go' | 'other' } },
      actions: {
        assignOther: assign(({ event }) => {
          assertEvent(event, 'other');
          return {};
        }),
      },
    }).createMachine({
      context: {},
      initial: 'a',
      states: { a: { on: { go: { target: 'b', actions: 'assignOther' } } }, b: {} },
    });
    const compiled = new CompiledMachine(machine);
    const state = compiled.start(undefined);
    expect(() => compiled.step(state, { type: 'go' })).toThrow();
    expect(state.value).toBe('a');
  });

  it('stops a chart whose eventless transitions form a cycle', () => {
    const machine = createMachine({
      context: {},
      initial: 'a',
      states: { a: { always: 'b' }, b: { always: 'a' } },
    });
    const internal = expect.objectContaining({ code: 'INTERNAL' });
    expect(() => new CompiledMachine(machine).start(undefined)).toThrow(internal);
  });

  const plain = { context: {}, initial: 'a' } as const;
  it.each<[string, AnyStateMachine]>([
    ['parallel states', createMachine({ context: {}, type: 'parallel', states: { a: {}, b: {} } })],
    ['a final state', createMachine({ ...plain, states: { a: { type: 'final' } } })],
    ['a history state', createMachine({ ...plain, states: { a: {}, h: { type: 'history' } } })],
    ['a delay', createMachine({ ...plain, states: { a: { after: { 10: 'b' } }, b: {} } })],
    ['a wildcard', createMachine({ ...plain, states: { a: { on: { '*': 'b' } }, b: {} } })],
    [
      'an action that is not an assignment',
      createMachine({ ...plain, states: { a: { entry: () => undefined } } }),
    ],
    ['a name that nothing implements', createMachine({ ...plain, states: { a: { entry: 'unknown' } } })],
    [
      'a transition that leaves the root',
      createMachine({ ...plain, on: { go: { target: '.a', reenter: true } }, states: { a: {} } }),
    ],
    [
      'an action at its initial transition',
      createMachine({
        context: {},
        initial: { target: 'a', actions: assign({}) },
        states: { a: {} },
      } as never),
    ],
  ])('refuses a chart with %s', (_what, machine) => {
    expect(() => new CompiledMachine(machine)).toThrow(expect.objectContaining({ code: 'INTERNAL' }));
  });
});
