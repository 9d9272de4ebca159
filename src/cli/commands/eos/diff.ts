import { EXIT } from '../../../errors.ts';
import type { CommandContext } from '../../command-context.ts';
import { table } from '../../output.ts';
import { checkSums, type SumCheck } from '../../trust/eos-image.ts';

export async function run(
  { output, exit }: CommandContext,
  _options: unknown,
  a: string,
  b: string,
): Promise<void> {
  const [before, after] = [await checkSums(a), await checkSums(b)];
  const names = [...new Set([...before, ...after].map(({ name }) => name))].sort();
  const digest = (sums: readonly SumCheck[], name: string): string | null =>
    sums.find((each) => each.name === name)?.found ?? null;
  const changed = names
    .map((name) => ({ name, a: digest(before, name), b: digest(after, name) }))
    .filter((each) => each.a !== each.b);
  const text = changed.map((each) => [each.name, each.a ?? 'missing', each.b ?? 'missing']);
  output.result(changed.length === 0 ? 'the images are identical' : table(text), { changed });
  if (changed.length > 0) exit(EXIT.failed);
}
