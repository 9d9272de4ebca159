import { z } from 'zod';
import { CocosError } from '../../../errors.ts';
import type { CommandContext } from '../../command-context.ts';
import { table } from '../../output.ts';
import { predictLaunch, predictTd, predictUefi, substitutedPackages } from '../../trust/eos-image.ts';

const Platform = z.enum(['snp', 'tdx', 'uefi', 'emulated']);
const MAX_VCPUS = 512;

interface Options {
  readonly platform: string;
  readonly vcpus: string;
  readonly vcpuType: string;
}

export async function run({ output }: CommandContext, options: Options, folder: string): Promise<void> {
  const predicted = await predict(folder, options);
  const substitutes = await substitutedPackages(folder);
  const notes = substitutes.map((sentence) => `note: ${sentence}`);
  output.result([...table(Object.entries(predicted)), ...notes], {
    ...predicted,
    ...(substitutes.length === 0 ? {} : { substitutes }),
  });
}

async function predict(folder: string, options: Options): Promise<Record<string, string>> {
  const platform = Platform.safeParse(options.platform);
  const vcpus = Number(options.vcpus);
  if (!platform.success) {
    throw new CocosError(
      'USAGE',
      `Invalid value '${options.platform}' for --platform: expected ${Platform.options.join(', ')}.`,
    );
  }
  if (!Number.isInteger(vcpus) || vcpus < 1 || vcpus > MAX_VCPUS) {
    throw new CocosError(
      'USAGE',
      `Invalid value '${options.vcpus}' for --vcpus: expected a whole number from 1 to ${MAX_VCPUS}.`,
    );
  }
  const shape = { vcpus, vcpuType: options.vcpuType };
  switch (platform.data) {
    case 'snp':
      return { 'launch-digest': await predictLaunch(folder, 'ovmf-amdsev.fd', shape) };
    case 'emulated':
      return { 'launch-digest': await predictLaunch(folder, 'bios.bin', shape) };
    case 'uefi':
      return labelled('pcr', await predictUefi(folder, 'pcr'));
    case 'tdx':
      return { mrtd: await predictTd(folder), ...labelled('rtmr', await predictUefi(folder, 'rtmr')) };
  }
}

function labelled(prefix: string, values: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(values).map(([index, value]) => [`${prefix}${index}`, value]));
}
