import { EXIT } from '../../../errors.ts';
import type { CommandContext } from '../../command-context.ts';
import { differences, differenceTable } from '../../differences.ts';
import { checkSums } from '../../trust/eos-image.ts';

export async function run(
  { output, exit }: CommandContext,
  _options: unknown,
  a: string,
  b: string,
): Promise<void> {
  const found = async (folder: string) =>
    (await checkSums(folder)).flatMap((sum): [string, string][] =>
      sum.found === null ? [] : [[sum.name, sum.found]],
    );
  const changed = differences(await found(a), await found(b)).sort((one, other) =>
    one.name < other.name ? -1 : 1,
  );
  const identical = changed.length === 0;
  output.result(identical ? 'the images are identical' : differenceTable([['FILE', a, b]], changed), {
    changed,
  });
  if (!identical) exit(EXIT.failed);
}
