import fc from 'fast-check';
import { z } from 'zod';
import { ERRORS } from '../../../src/errors.ts';

/** Values that a schema accepts, in all its variants. Supports only the types that event schemas use. */
export function schemaArbitrary(schema: z.core.$ZodType): fc.Arbitrary<unknown> {
  if (schema instanceof z.ZodLiteral) return fc.constantFrom(...schema.values);
  if (schema instanceof z.ZodEnum) return fc.constantFrom(...schema.options);
  if (schema instanceof z.ZodString) return stringArbitrary(schema);
  if (schema instanceof z.ZodNumber) {
    const min = Math.max(schema.minValue ?? -1e6, -1e6);
    return fc.integer({ min, max: Math.min(schema.maxValue ?? 1e6, 1e6) });
  }
  if (schema instanceof z.ZodUnknown) return fc.jsonValue({ maxDepth: 1 });
  if (schema instanceof z.ZodCustom) return fc.constantFrom(...Object.keys(ERRORS));
  if (schema instanceof z.ZodArray)
    return fc.array(schemaArbitrary(schema.element), { minLength: 1, maxLength: 1 });
  if (schema instanceof z.ZodRecord)
    return fc.dictionary(fc.constantFrom('a', 'b'), schemaArbitrary(schema.valueType));
  if (schema instanceof z.ZodUnion) return fc.oneof(...schema.options.map(schemaArbitrary));
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault)
    return schemaArbitrary(schema.def.innerType);
  if (schema instanceof z.ZodNullable) return fc.option(schemaArbitrary(schema.def.innerType), { nil: null });
  if (schema instanceof z.ZodObject) return objectArbitrary(schema);
  throw new Error(`no values are known for ${schema._zod.def.type}`);
}

function objectArbitrary(schema: z.ZodObject): fc.Arbitrary<unknown> {
  const members: Record<string, fc.Arbitrary<unknown>> = {};
  const required: string[] = [];
  for (const [name, member] of Object.entries(schema.shape)) {
    members[name] = schemaArbitrary(member);
    if (member._zod.optin !== 'optional') required.push(name);
  }
  return fc.record(members, { requiredKeys: required, noNullPrototype: true });
}

function stringArbitrary(schema: z.ZodString): fc.Arbitrary<string> {
  const pattern = schema.def.checks
    ?.map((check) => ('pattern' in check._zod.def ? check._zod.def.pattern : null))
    .find((each) => each instanceof RegExp);
  const max = schema.maxLength ?? Number.POSITIVE_INFINITY;
  if (pattern instanceof RegExp) {
    // The generator does not support lookahead.
    const looser = new RegExp(pattern.source.replace(/\(\?[!=][^)]*\)/g, ''));
    return fc.stringMatching(looser).filter((text) => text.length <= max && pattern.test(text));
  }
  return fc.string({ minLength: schema.minLength ?? 0, maxLength: Math.min(max, 20) });
}
