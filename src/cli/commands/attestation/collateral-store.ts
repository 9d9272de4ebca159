import type { Collateral } from '../../../attestation/collateral/collateral.ts';
import { defaultCollateralFolder, storeCollateral } from '../../collateral/collateral.ts';
import type { CommandContext } from '../../command-context.ts';

/** Stores what `parts` yields in the named folder or the default one, and shows what was new. */
export async function storeAll(
  { output, environment }: CommandContext,
  named: string | undefined,
  parts: AsyncIterable<Collateral>,
): Promise<void> {
  const folder = named ?? defaultCollateralFolder(environment);
  const written: string[] = [];
  let items = 0;
  for await (const part of parts) {
    items += Object.values(part).reduce((sum, list) => sum + list.length, 0);
    written.push(...(await storeCollateral(part, folder)));
  }
  const known = items - written.length;
  const text = `${written.length} new and ${known} known items in ${folder}`;
  output.result([text, ...written], { folder, written, known });
}
