import { describe, expect, it } from 'vitest';
import { fuzz, type Parser, parsers, SLOW_MS } from '../../fakes/fuzz.ts';
import { hasVectors } from '../../vectors.ts';

const RUNS = 20_000;
/** Another seed each day would find more; a fixed one can be repeated. */
const SEED = 20_260_601;

describe.skipIf(!hasVectors)('parsers', () => {
  const all: readonly Parser[] = hasVectors ? parsers() : [];

  it.each(all.map((parser) => [parser.name, parser] as const))(
    'refuse or read, and never crash or hang: %s',
    (_, parser) => {
      const { crashes, slowest, refused } = fuzz(parser, RUNS, SEED);
      expect(crashes.slice(0, 3)).toEqual([]);
      expect(slowest).toBeLessThan(SLOW_MS);
      expect(refused).toBeGreaterThan(RUNS / 100);
    },
  );
});
