import { canonicalDigest } from '../../../crypto/digest.ts';
import type { CommandContext } from '../../command-context.ts';
import { withManager } from '../../manager-client.ts';
import { readManifest } from '../../manifest-file.ts';

export function run(
  context: CommandContext,
  _options: unknown,
  enclave: string,
  file: string,
): Promise<void> {
  return withManager(context, async (client) => {
    const manifest = await readManifest(file);
    const { address } = await client.get(enclave);
    await client.send(`${address}/computation`, { type: 'manifest.deliver', manifest });
    const digest = canonicalDigest(manifest);
    context.output.result(`the agent accepted the manifest ${digest}`, { digest });
  });
}
