import { z } from 'zod';

/** Policy rules for DICE chains. */

export const DICE_MODES = ['not-configured', 'normal', 'debug', 'recovery'] as const;
export type DiceMode = (typeof DICE_MODES)[number];

/** Digests of 32, 48 or 64 bytes, or an inline configuration of 64. */
const Hashes = z
  .array(z.string().regex(/^(?:[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})$/))
  .min(1)
  .max(256);

/** Accepted values of one layer; absent values are not compared. */
export const DiceLayerRule = z.strictObject({
  codeHashes: Hashes.optional(),
  configurations: Hashes.optional().describe('Hash of the configuration descriptor, or the inline value.'),
  authorityHashes: Hashes.optional(),
});
export type DiceLayerRule = z.infer<typeof DiceLayerRule>;

const MIXTURE =
  'lists several values in more than one place, which would accept mixtures of builds; list each build in the reference values instead';

/** Two lists of several values would accept one layer of one build with another layer of another. */
function namesOneBuild(layers: readonly DiceLayerRule[]): boolean {
  const lists = layers.flatMap((layer) => Object.values(layer)).filter((values) => values !== undefined);
  return lists.filter((values) => values.length > 1).length <= 1;
}

export const DicePolicy = z.strictObject({
  required: z.boolean().default(false).describe('Refuse evidence without a chain.'),
  allowedModes: z
    .array(z.enum([...DICE_MODES, 'unstated']))
    .min(1)
    .default(['normal'])
    .describe('Modes in which a layer may run; `unstated` accepts profiles whose certificates name none.'),
  rootKeys: z
    .array(z.string().regex(/^(?:[0-9a-f]{64}|04[0-9a-f]{128}|04[0-9a-f]{192})$/))
    .max(64)
    .default([])
    .describe('Root keys that may sign the first layer: raw Ed25519 key, or uncompressed EC point, hex.'),
  layers: z
    .array(DiceLayerRule)
    .min(1)
    .max(16)
    .refine(namesOneBuild, MIXTURE)
    .optional()
    .describe(
      'Rules of the layers, first layer first. If present, the chain must have the same number of layers.',
    ),
});
export type DicePolicy = z.infer<typeof DicePolicy>;
