import { CocosError } from '../../../errors.ts';
import { fetchCollateral } from '../../collateral/collateral-fetch.ts';
import type { CommandContext } from '../../command-context.ts';
import { storeAll } from './collateral-store.ts';

const MAX_SECONDS = 600;

interface Options {
  readonly baseUrl: string;
  readonly collateral?: string;
  readonly timeout: string;
}

export async function run(
  context: CommandContext,
  options: Options,
  paths: readonly string[],
): Promise<void> {
  const seconds = Number(options.timeout);
  if (!(seconds > 0 && seconds <= MAX_SECONDS)) {
    throw new CocosError(
      'USAGE',
      `Invalid value '${options.timeout}' for --timeout: expected seconds up to ${MAX_SECONDS}.`,
    );
  }
  await storeAll(context, options.collateral, fetchAll(paths, options.baseUrl, seconds * 1000));
}

async function* fetchAll(paths: readonly string[], baseUrl: string, timeoutMs: number) {
  for (const path of paths) yield await fetchCollateral(baseUrl, path, timeoutMs);
}
