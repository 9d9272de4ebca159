import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { plainParser } from '../../../src/link/mirror/schema-compiler.ts';
import { MIRRORED, MirrorRecord } from '../../../src/machines/mirrored.ts';
import { damaged, instead } from './damaged.ts';
import { schemaArbitrary } from './schema-arbitrary.ts';

const known = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('text'), a: z.string().min(2).max(4), b: z.string().regex(/^x+$/) }),
  z.strictObject({
    type: z.literal(['number', 'integer']),
    a: z.int().min(-3).max(3),
    b: z.int().gt(1).lt(9),
  }),
  z.strictObject({ type: z.literal('any'), a: z.unknown() }),
  // A schema that is not compiled must behave as before.
  z.strictObject({ type: z.literal('default'), a: z.string().default('given') }),
  z.strictObject({ type: z.literal('trimmed'), a: z.string().trim() }),
  z.strictObject({ type: z.literal('mail'), a: z.email() }),
  z.strictObject({ type: z.literal('even'), a: z.int().multipleOf(2) }),
  z.object({ type: z.literal('open'), a: z.string() }),
  z.strictObject({ type: z.literal('refined'), a: z.int() }).refine(({ a }) => a > 2),
]);

const SCHEMAS: readonly (readonly [string, z.ZodType<object>])[] = [
  ['records of the journal', MirrorRecord],
  ['events of the computation', MIRRORED.computation.event],
  ['events of the attestation', MIRRORED.attestation.event],
  ['events of the transfer', MIRRORED.transfer.event],
];

/** Both refuse the same values and return the same result for accepted ones. */
function same(schema: z.ZodType<object>, value: unknown): boolean {
  const parsed = schema.safeParse(value);
  expect(plainParser(schema)(value)).toEqual(parsed.success ? parsed.data : null);
  return parsed.success;
}

describe('plainParser', () => {
  it.each(SCHEMAS)('accepts and refuses the same values as the schema, for %s', (_name, schema) => {
    const seen = { accepted: 0, refused: 0 };
    const place = fc.array(fc.nat(8), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(schemaArbitrary(schema), place, instead, (value, choices, replacement) => {
        expect(same(schema, value)).toBe(true);
        seen[same(schema, damaged(value, choices, replacement)) ? 'accepted' : 'refused'] += 1;
      }),
      { numRuns: 1_000 },
    );
    expect(seen.refused).toBeGreaterThan(100);
  });

  it.each([
    [{ type: 'text', a: 'ab', b: 'xx' }],
    [{ type: 'text', a: 'a', b: 'xx' }],
    [{ type: 'text', a: 'abcde', b: 'xx' }],
    [{ type: 'text', a: 'ab', b: 'xy' }],
    [{ type: 'text', a: 'ab' }],
    [{ type: 'text', a: 'ab', b: 'x', c: 1 }],
    [{ type: 'number', a: 3, b: 2 }],
    [{ type: 'integer', a: -3, b: 8 }],
    [{ type: 'integer', a: 4, b: 8 }],
    [{ type: 'integer', a: -4, b: 8 }],
    [{ type: 'integer', a: 0, b: 1 }],
    [{ type: 'integer', a: 0, b: 9 }],
    [{ type: 'integer', a: 0.5, b: 8 }],
    [{ type: 'integer', a: 2 ** 60, b: 8 }],
    [{ type: 'any' }],
    [{ type: 'any', a: undefined }],
    [{ type: 'any', a: { deep: [1] } }],
    [{ type: 'default' }],
    [{ type: 'default', a: 'own' }],
    [{ type: 'trimmed', a: ' b ' }],
    [{ type: 'mail', a: 'a@b.example' }],
    [{ type: 'mail', a: 'nobody' }],
    [{ type: 'even', a: 3 }],
    [{ type: 'even', a: 4 }],
    [{ type: 'open', a: 'x', more: 1 }],
    [{ type: 'refined', a: 2 }],
    [{ type: 'refined', a: 3 }],
    [{ type: 'toString' }],
    [['text']],
    [null],
    ['text'],
  ])('agrees with the schema on %j', (value) => {
    same(known, value);
  });

  it('falls back to a schema that is not such a union', () => {
    const parse = plainParser(z.object({ a: z.string().default('given') }));
    expect(parse({})).toEqual({ a: 'given' });
    expect(parse({ a: 1 })).toBeNull();
  });
});
