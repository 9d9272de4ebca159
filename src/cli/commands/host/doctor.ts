import type { PlatformReport } from '../../../rpc/gen/cocosai/control/v1/control.ts';
import type { CommandContext } from '../../command-context.ts';
import { withManager } from '../../manager-client.ts';

interface Options {
  readonly report?: boolean;
}

export function run(context: CommandContext, options: Options): Promise<void> {
  return withManager(context, async (client) => {
    const { platforms, platform, version, description } = await client.host(true);
    const lines = platforms.flatMap((each) => describe(each, options.report === true));
    const summary = `Enclaves that name no platform get: ${platform}`;
    context.output.result([...lines, summary], { version, description, platform, platforms });
  });
}

function describe({ platform, isAvailable, findings, slots }: PlatformReport, all: boolean): string[] {
  const limit = slots === undefined ? '' : `, at most ${slots} guests`;
  const missing = findings.filter(({ isMet }) => !isMet);
  const state = isAvailable
    ? `available${limit}`
    : `not available: ${missing.length} of ${findings.length} missing`;
  const shown = all ? findings : missing;
  return [
    `${platform}: ${state}`,
    ...shown.flatMap(({ need, isMet, found, remedy }) => [
      `  ${isMet ? 'ok     ' : 'missing'}  ${need}: ${found}`,
      ...(remedy === '' ? [] : [`           ${remedy}`]),
    ]),
  ];
}
