import { z } from 'zod';
import { PolicyMembers } from './policy.ts';
import { LAUNCH_KINDS, ReferenceList, SingleReference } from './reference.ts';

/** JSON Schemas (2020-12) of the files that people write, published in `docs/schema/`. */

type JsonSchema = Record<string, unknown>;

const DRAFT = 'https://json-schema.org/draft/2020-12/schema';

function members(schema: z.ZodType): JsonSchema {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: 'input', target: 'draft-2020-12' });
  return rest;
}

/** Schema of the appraisal policy; `parsePolicy` uses the same definition. */
export function policyJsonSchema(): JsonSchema {
  const title = 'CocosAI appraisal policy, version 1';
  return {
    $schema: DRAFT,
    $id: 'urn:cocosai:appraisal-policy:1',
    title,
    ...members(PolicyMembers),
    // A condition across members: a policy that accepts the emulated platform must name its root.
    if: { properties: { platforms: { contains: { const: 'emulated' } } } },
    // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
    then: { required: ['emulatedRoot'] },
  };
}

/** Schema of the reference values; `parseReferenceValues` uses the same definition. */
export function referenceJsonSchema(): JsonSchema {
  const title = 'CocosAI reference values, version 1';
  const needsLaunch = LAUNCH_KINDS.map((kind) => ({ required: [kind] }));
  return {
    $schema: DRAFT,
    $id: 'urn:cocosai:reference-values:1',
    title,
    anyOf: [{ ...members(SingleReference), anyOf: needsLaunch }, members(ReferenceList)],
  };
}
