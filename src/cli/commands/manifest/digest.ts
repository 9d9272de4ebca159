import { canonicalDigest } from '../../../crypto/digest.ts';
import type { CommandContext } from '../../command-context.ts';
import { readManifest } from '../../manifest-file.ts';

export async function run({ output }: CommandContext, _options: unknown, file: string): Promise<void> {
  const digest = canonicalDigest(await readManifest(file));
  output.result(digest, { digest });
}
