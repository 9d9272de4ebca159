import { canonicalDigest } from '../../../crypto/digest.ts';
import { EXIT } from '../../../errors.ts';
import type { CommandContext } from '../../command-context.ts';
import { readManifest } from '../../manifest-file.ts';
import { membersOf, shownValue } from '../../manifest-members.ts';
import { table } from '../../output.ts';

export async function run(
  { output, exit }: CommandContext,
  _options: unknown,
  a: string,
  b: string,
): Promise<void> {
  const [before, after] = [await readManifest(a), await readManifest(b)];
  const [inA, inB] = [before, after].map(
    (manifest) => new Map(membersOf(manifest).map(({ path, value }) => [path, value])),
  );
  const changed = [...new Set([...(inA?.keys() ?? []), ...(inB?.keys() ?? [])])]
    .map((member) => ({ member, a: inA?.get(member) ?? null, b: inB?.get(member) ?? null }))
    .filter((each) => each.a !== each.b);
  const shown = (value: string | null) => (value === null ? 'absent' : shownValue(value));
  const rows = changed.map((each) => [each.member, shown(each.a), shown(each.b)]);
  const identical = changed.length === 0;
  const digests = { a: canonicalDigest(before), b: canonicalDigest(after) };
  output.result(
    identical
      ? `the manifests are identical: ${digests.a}`
      : table([['MEMBER', a, b], ['digest', digests.a, digests.b], ...rows]),
    { identical, digests, changed },
  );
  if (!identical) exit(EXIT.failed);
}
