import { referenceToCorim } from '../../../attestation/corim/reference-corim.ts';
import { parseReferenceValues } from '../../../attestation/policy/reference.ts';
import type { CommandContext } from '../../command-context.ts';
import { namingFile, readJson, writeNew } from '../../files.ts';

interface Options {
  readonly out: string;
}

export async function run({ output }: CommandContext, { out }: Options, file: string): Promise<void> {
  const json = await readJson(file);
  const bytes = referenceToCorim(namingFile(file, () => parseReferenceValues(json)));
  await writeNew(out, bytes);
  output.result(`wrote ${out}, ${bytes.length} bytes`, { file: out, size: bytes.length });
}
