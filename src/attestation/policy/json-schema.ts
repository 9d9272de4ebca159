import { z } from 'zod';
import { PolicyMembers } from './policy.ts';
import { ReferenceMembers } from './reference.ts';

/** JSON Schemas (2020-12) of the files that people write, published in `docs/schema/`. */

type JsonSchema = Record<string, unknown>;

function published(schema: z.ZodType, id: string, title: string, more: JsonSchema): JsonSchema {
  const { $schema, ...rest } = z.toJSONSchema(schema, { io: 'input', target: 'draft-2020-12' });
  return { $schema, $id: `urn:cocosai:${id}:1`, title, ...rest, ...more };
}

/** Schema of the appraisal policy; `parsePolicy` uses the same definition. */
export function policyJsonSchema(): JsonSchema {
  const title = 'CocosAI appraisal policy, version 1';
  return published(PolicyMembers, 'appraisal-policy', title, {
    // A condition across members: a policy that accepts the emulated platform must name its root.
    if: { properties: { platforms: { contains: { const: 'emulated' } } } },
    // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
    then: { required: ['emulatedRoot'] },
  });
}

/** Schema of the reference values; `parseReferenceValues` uses the same definition. */
export function referenceJsonSchema(): JsonSchema {
  const title = 'CocosAI reference values, version 1';
  const kinds = ['vm', 'process', 'tdx'];
  return published(ReferenceMembers, 'reference-values', title, {
    anyOf: kinds.map((kind) => ({ required: [kind] })),
  });
}
