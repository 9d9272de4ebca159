import { z } from 'zod';
import { policyJsonSchema } from '../src/attestation/policy/json-schema.ts';

/** Makes the page about appraisal policies from their schema. */

interface Node {
  readonly type?: string | undefined;
  readonly description?: string | undefined;
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, Node>> | undefined;
  readonly required?: readonly string[] | undefined;
  readonly items?: Node | undefined;
  readonly enum?: readonly unknown[] | undefined;
  readonly const?: unknown;
  readonly pattern?: string | undefined;
  readonly minimum?: number | undefined;
  readonly maximum?: number | undefined;
}

const NodeSchema: z.ZodType<Node> = z.lazy(() =>
  z.object({
    type: z.string().optional(),
    description: z.string().optional(),
    default: z.unknown().optional(),
    properties: z.record(z.string(), NodeSchema).optional(),
    required: z.array(z.string()).optional(),
    items: NodeSchema.optional(),
    enum: z.array(z.unknown()).optional(),
    const: z.unknown().optional(),
    pattern: z.string().optional(),
    minimum: z.number().optional(),
    maximum: z.number().optional(),
  }),
);

const HEX = /^\^\[0-9a-f\]\{(\d+)\}\$$/;

function form(node: Node): string {
  if (node.const !== undefined) return JSON.stringify(node.const);
  if (node.enum !== undefined) return node.enum.map((each) => JSON.stringify(each)).join(', ');
  if (node.type === 'array') return `list of: ${node.items === undefined ? 'any' : form(node.items)}`;
  const hex = HEX.exec(node.pattern ?? '')?.[1];
  if (hex !== undefined) return `${Number(hex) / 2} bytes, hex`;
  if (node.pattern?.startsWith('^sha256:') === true) return '`sha256:` and 64 hex digits';
  if (node.pattern?.includes('T\\d{2}') === true) return 'time, `YYYY-MM-DDThh:mm:ssZ`';
  if (node.type === 'integer') return `${node.minimum ?? 0} to ${node.maximum ?? '…'}`;
  if (node.type === 'boolean') return 'true or false';
  if (node.type === 'object') return 'object';
  return 'text';
}

/** One row for each member, members of members after theirs. */
function rows(node: Node, prefix: string): string[] {
  return Object.entries(node.properties ?? {}).flatMap(([name, child]) => {
    const path = `${prefix}${name}`;
    const fallback = node.required?.includes(name) === true ? '**required**' : code(child.default);
    const row = `| \`${path}\` | ${form(child)} | ${fallback} | ${child.description ?? ''} |`;
    // The levels of every product line are the same: one line says it for all.
    return path.startsWith('snp.minimum') ? [row] : [row, ...rows(child, `${path}.`)];
  });
}

const code = (value: unknown): string =>
  value === undefined || JSON.stringify(value) === '{}' ? '' : `\`${JSON.stringify(value)}\``;

export function policyPage(): string {
  const schema = NodeSchema.parse(JSON.parse(JSON.stringify(policyJsonSchema())));
  return `# Appraisal policy

What a relying party accepts, as a JSON file. Unknown members are refused, and so is a member that is there twice. A member
that is left out has the strict value shown; \`{"version": 1, "platforms": ["snp"]}\` is a whole policy. Its JSON Schema is
[schema/appraisal-policy.schema.json](schema/appraisal-policy.schema.json).

A policy can be signed (\`cocos-cli attestation sign-policy\`); \`attestation verify --policy-key\` then takes it from that key
alone. A manifest can pin the digest of the policy that all participants use.

Levels (\`snp.minimumTcb\` and its like) are given for each product line:
\`{"milan": {"bootloader": 4, "tee": 0, "snp": 24, "microcode": 219}, "turin": {"fmc": 1}}\`. A part that is left out is not compared.

| member | form | when left out | meaning |
| --- | --- | --- | --- |
${rows(schema, '').join('\n')}
`;
}
