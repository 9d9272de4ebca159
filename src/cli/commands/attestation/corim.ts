import { referenceToCorim } from '../../../attestation/corim/reference-corim.ts';
import { parseReferenceValues, referenceValues } from '../../../attestation/policy/reference.ts';
import type { CommandContext } from '../../command-context.ts';
import { namingFile, readJson, writeNew } from '../../files.ts';

interface Options {
  readonly out: string;
}

export async function run(
  { output }: CommandContext,
  { out }: Options,
  files: readonly string[],
): Promise<void> {
  const all = await Promise.all(
    files.map(async (file) => {
      const json = await readJson(file);
      return namingFile(file, () => parseReferenceValues(json));
    }),
  );
  const bytes = referenceToCorim(referenceValues(all.flatMap(({ builds }) => builds)));
  await writeNew(out, bytes);
  output.result(`wrote ${out}, ${bytes.length} bytes`, { file: out, size: bytes.length });
}
