import { canonicalJson } from '../../../crypto/digest.ts';
import { CocosError } from '../../../errors.ts';
import type { CommandContext } from '../../command-context.ts';
import { withManager } from '../../manager-client.ts';
import { readManifest } from '../../manifest-file.ts';
import { describe } from './describe.ts';
import { waitForState } from './wait-for-state.ts';

interface Options {
  readonly manifest?: string;
  readonly mode?: string;
  readonly platform?: string;
  readonly vcpus?: string;
  readonly memory?: string;
  readonly wait: boolean;
}

export function run(context: CommandContext, options: Options, name: string): Promise<void> {
  return withManager(context, async (client) => {
    const manifestJson =
      options.manifest === undefined ? '' : canonicalJson(await readManifest(options.manifest));
    const created = await client.create({
      name,
      mode: options.mode ?? '',
      platform: options.platform ?? '',
      vcpus: parseWhole(options.vcpus, '--vcpus'),
      memoryMib: parseWhole(options.memory, '--memory'),
      manifestJson,
    });
    const enclave = options.wait ? await waitForState(context, client, created, 'alive.ready') : created;
    context.output.result(describe(enclave), enclave);
  });
}

/** Zero, the manager's default, where the option is absent. */
function parseWhole(value: string | undefined, flag: string): number {
  if (value === undefined) return 0;
  if (!/^[1-9][0-9]{0,8}$/.test(value)) {
    throw new CocosError('USAGE', `Invalid value '${value}' for ${flag}: expected a positive whole number.`);
  }
  return Number(value);
}
