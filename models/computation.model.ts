import { computationMachine } from '../src/machines/computation.machine.ts';
import { inert } from '../src/machines/effect.ts';
import { ALGORITHM_INPUT, Manifest } from '../src/machines/manifest.ts';
import type { Model } from './explore.ts';

const digest = `sha256:${'0'.repeat(64)}`;
const key = (letter: string) => `ed25519:${letter.repeat(43)}`;
const CONSUMERS = [key('C'), key('D')];
const cause = { code: 'ALGORITHM_FAILED' } as const;

function manifest(start: 'auto' | string[]): Manifest {
  return Manifest.parse({
    version: 1,
    id: 'model',
    name: 'model',
    algorithm: { kind: 'python', digest, provider: key('A') },
    datasets: [{ name: 'data', digest, provider: key('B') }],
    consumers: CONSUMERS.map((signing) => ({ signing, kem: `x25519:${'K'.repeat(43)}` })),
    start,
  });
}

const inputs = [ALGORITHM_INPUT, 'data', 'unknown'];

/** `start`: whether the run starts automatically or by a key. */
export function computationModel(start: 'auto' | 'controlled'): Model {
  const accepted = manifest(start === 'auto' ? 'auto' : [key('S')]);
  return {
    machine: computationMachine.provide({
      actors: { runAlgorithm: inert(), sealResult: inert(), clock: inert() },
    }),
    events: [
      { type: 'manifest.accepted', manifest: accepted, digest, atMs: 1 },
      ...inputs.flatMap((input) => [
        { type: 'input.receiving', input, transferId: 't' },
        { type: 'input.released', input },
        { type: 'input.committed', input, size: 1, digest, atMs: 1 },
      ]),
      { type: 'run.requested', by: key('S'), atMs: 1 },
      { type: 'run.requested', by: key('X'), atMs: 1 },
      { type: 'run.exited', exitCode: 0, runtime: 'r', startedMs: 1, endedMs: 2 },
      { type: 'run.exited', exitCode: 1, runtime: 'r', startedMs: 1, endedMs: 2 },
      { type: 'run.failed', cause },
      { type: 'result.sealed', digest, size: 1 },
      ...[...CONSUMERS, key('X')].map((consumer) => ({ type: 'result.delivered', consumer })),
      { type: 'computation.stop', by: 'manager' },
      { type: 'deadline.reached' },
    ],
    distinguish: ({ inputs: taken, delivered, result }) => [
      taken,
      [...(delivered as string[])].sort(),
      result,
    ],
    invariant: (state, context) => {
      const statuses = Object.values(context['inputs'] as Record<string, { status: string }>).map(
        (each) => each.status,
      );
      const hasAll = statuses.length > 0 && statuses.every((status) => status === 'committed');
      if (['ready', 'running', 'sealingResults', 'resultsReady', 'delivered'].includes(state) && !hasAll) {
        return 'an input is missing';
      }
      if ((context['cause'] !== null) !== ['failed', 'stopped'].includes(state))
        return 'a cause outside of a final state';
      if (['resultsReady', 'delivered'].includes(state) && context['result'] === null) return 'no result';
      if (state === 'delivered' && (context['delivered'] as string[]).length !== CONSUMERS.length)
        return 'not delivered';
      return null;
    },
  };
}
