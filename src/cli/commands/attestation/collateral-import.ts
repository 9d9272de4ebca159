import { CocosError } from '../../../errors.ts';
import { readCollateralFile } from '../../collateral/collateral.ts';
import type { CommandContext } from '../../command-context.ts';
import { storeAll } from './collateral-store.ts';

interface Options {
  readonly collateral?: string;
}

export function run(context: CommandContext, options: Options, files: readonly string[]): Promise<void> {
  return storeAll(context, options.collateral, read(files));
}

async function* read(files: readonly string[]) {
  for (const file of files) {
    const part = await readCollateralFile(file);
    if (part === null) {
      const known = 'expected certificates, revocation lists, TCB information or a QE identity';
      throw new CocosError('FILE_UNREADABLE', `${file} contains no known collateral: ${known}.`);
    }
    yield part;
  }
}
