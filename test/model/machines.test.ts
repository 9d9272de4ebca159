import { describe, expect, it } from 'vitest';
import { explore } from '../../models/explore.ts';
import { MODELS } from '../../models/index.ts';

/** Every state and transition of every machine, followed from its own model. */

describe.each(Object.entries(MODELS))('the %s machine', (_name, models) => {
  const explorations = models.map(explore);
  const missedByAll = (missed: (index: number) => readonly string[]) =>
    missed(0).filter((each) => explorations.every((_, index) => missed(index).includes(each)));

  it('reaches every state', () => {
    expect(missedByAll((index) => explorations[index]?.missedStates ?? [])).toEqual([]);
  });

  it('takes every transition', () => {
    expect(missedByAll((index) => explorations[index]?.missedTransitions ?? [])).toEqual([]);
  });

  it('keeps its invariants in every state', () => {
    expect(explorations.flatMap((exploration) => exploration.violations)).toEqual([]);
  });

  it('ignores every illegal event', () => {
    expect(explorations.flatMap((exploration) => exploration.illegalMoves)).toEqual([]);
  });
});
