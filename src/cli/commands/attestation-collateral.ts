import { Command } from 'commander';
import { CocosError } from '../../errors.ts';
import { defaultCollateralFolder, readCollateralFile, storeCollateral } from '../collateral/collateral.ts';
import { fetchCollateral } from '../collateral/collateral-fetch.ts';
import type { CommandContext } from '../command-context.ts';

/** `attestation collateral`: fills the folder from which appraisal takes what vendors publish. */

export function collateralCommands(context: CommandContext): Command {
  const collateral = new Command('collateral').description('certificates, revocation lists, TCB information');
  const folderOf = (named: string | undefined) => named ?? defaultCollateralFolder(context.environment);
  const show = (folder: string, written: readonly string[], known: number) =>
    context.output.result(
      [`${written.length} new, ${known} known already, in ${folder}`, ...written].join('\n'),
      { folder, written, known },
    );
  collateral
    .command('import')
    .description("keep vendors' answers that were saved as files")
    .argument('<file...>')
    .option('--collateral <dir>', 'where they are kept; a folder of your cache when left out')
    .action(async (files: readonly string[], options: { readonly collateral?: string }) => {
      const folder = folderOf(options.collateral);
      const written: string[] = [];
      let items = 0;
      for (const file of files) {
        const part = await readCollateralFile(file);
        if (part === null)
          throw new CocosError('FILE_UNREADABLE', `${file} holds no collateral that is known.`);
        items += Object.values(part).reduce((sum, list) => sum + list.length, 0);
        written.push(...(await storeCollateral(part, folder)));
      }
      show(folder, written, items - written.length);
    });
  collateral
    .command('fetch')
    .description('fetch the answers to given paths from a service that you name, and keep them')
    .argument('<path...>', 'paths below the base URL, with their query')
    .requiredOption('--base-url <url>', 'the service: a vendor or a cache of your own')
    .option('--collateral <dir>', 'where they are kept; a folder of your cache when left out')
    .option('--timeout <seconds>', 'for each answer', '20')
    .action(
      async (
        paths: readonly string[],
        options: { readonly baseUrl: string; readonly collateral?: string; readonly timeout: string },
      ) => {
        const folder = folderOf(options.collateral);
        const seconds = Number(options.timeout);
        if (!(seconds > 0 && seconds <= 600))
          throw new CocosError('USAGE', 'A time-out is 1 to 600 seconds.');
        const written: string[] = [];
        let items = 0;
        for (const path of paths) {
          const part = await fetchCollateral(options.baseUrl, path, seconds * 1000);
          items += Object.values(part).reduce((sum, list) => sum + list.length, 0);
          written.push(...(await storeCollateral(part, folder)));
        }
        show(folder, written, items - written.length);
      },
    );
  return collateral;
}
