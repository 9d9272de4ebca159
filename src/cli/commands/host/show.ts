import type { CommandContext } from '../../command-context.ts';
import { withManager } from '../../manager-client.ts';
import { table } from '../../output.ts';

export function run(context: CommandContext): Promise<void> {
  return withManager(context, async (client) => {
    const { version, description, platform, platforms, emulatedRootDigest } = await client.host();
    const rows = [
      ['version', version],
      ['host', description],
      ['platform', platform],
      ['available', platforms.flatMap((each) => (each.isAvailable ? [each.platform] : [])).join(', ')],
      ['emulated root', emulatedRootDigest],
    ];
    context.output.result(table(rows), { version, description, platform, platforms, emulatedRootDigest });
  });
}
