import { CocosError } from '../../../errors.ts';
import type { CommandContext } from '../../command-context.ts';
import { withManager } from '../../manager-client.ts';

export function run(context: CommandContext): Promise<void> {
  return withManager(context, async (client) => {
    const { emulatedRootPem: pem, emulatedRootDigest: digest } = await client.host();
    if (pem === '') throw new CocosError('HOST_TEE_UNAVAILABLE', 'This host has no emulated platform.');
    context.output.result(pem.trimEnd().split('\n'), { pem, digest });
  });
}
