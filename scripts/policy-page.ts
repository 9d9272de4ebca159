import { z } from 'zod';
import { policyJsonSchema } from '../src/attestation/policy/json-schema.ts';

/** Generates the page about appraisal policies from their schema. */

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

/** One row per member, each followed by its own members. */
function rows(node: Node, prefix: string): string[] {
  return Object.entries(node.properties ?? {}).flatMap(([name, child]) => {
    const path = `${prefix}${name}`;
    const isTcb = /^snp\.minimum\w*Tcb$/.test(path);
    const fallback =
      node.required?.includes(name) === true
        ? '**required**'
        : code(isTcb ? defaultOf(child) : child.default);
    const row = `| \`${path}\` | ${form(child)} | ${fallback} | ${child.description ?? ''} |`;
    // All product lines have the same levels, so one row is enough.
    return path.startsWith('snp.minimum') ? [row] : [row, ...rows(child, `${path}.`)];
  });
}

/** The default of a member, or those of its own members. */
function defaultOf({ default: own, properties }: Node): unknown {
  const inner = Object.entries(properties ?? {}).flatMap(([name, child]) =>
    child.default === undefined ? [] : [[name, child.default]],
  );
  return own === undefined || JSON.stringify(own) === '{}' ? Object.fromEntries(inner) : own;
}

const code = (value: unknown): string =>
  value === undefined || JSON.stringify(value) === '{}' ? '' : `\`${JSON.stringify(value)}\``;

export function policyPage(): string {
  const schema = NodeSchema.parse(JSON.parse(JSON.stringify(policyJsonSchema())));
  return `# Appraisal policy

A policy is a JSON file that describes what a relying party accepts. Unknown and duplicate members are refused. An absent member has
the default shown; without one, it restricts nothing unless its meaning says otherwise. \`{"version": 1, "platforms": ["snp"]}\` is a complete
policy. The JSON Schema is [schema/appraisal-policy.schema.json](schema/appraisal-policy.schema.json).

A policy can be signed with \`cocos-cli attestation sign-policy\`, which gives it a version, an expiry and a name. Every command with
\`--policy\` has \`--policy-key\`, and then accepts only a policy signed by that key, before its expiry. Without \`--policy-key\`, a signed policy is
refused: anybody could have signed it. The command line remembers the newest version of each signer and name in \`$COCOSAI_PROFILE_DIR\` (default:
\`~/.local/state/cocosai\`), and refuses an older one, and another policy of the same version. A manifest can pin the digest of the policy that
all participants use.

TCB levels (\`snp.minimumTcb\` and similar members) are given per product line:
\`{"milan": {"bootloader": 4, "tee": 0, "snp": 24, "microcode": 219}, "turin": {"fmc": 1}}\`. Absent components are not compared.

| member | type | default | meaning |
| --- | --- | --- | --- |
${rows(schema, '').join('\n')}
`;
}
