import { canonicalDigest } from '../../../crypto/digest.ts';
import { EXIT } from '../../../errors.ts';
import type { Manifest } from '../../../machines/manifest.ts';
import type { CommandContext } from '../../command-context.ts';
import { differences, differenceTable } from '../../differences.ts';
import { readManifest } from '../../manifest-file.ts';
import { membersOf, shownValue } from '../../manifest-members.ts';

export async function run(
  { output, exit }: CommandContext,
  _options: unknown,
  a: string,
  b: string,
): Promise<void> {
  const [before, after] = [await readManifest(a), await readManifest(b)];
  const members = (manifest: Manifest) =>
    membersOf(manifest).map(({ path, value }): [string, string] => [path, value]);
  const changed = differences(members(before), members(after));
  const identical = changed.length === 0;
  const digests = { a: canonicalDigest(before), b: canonicalDigest(after) };
  output.result(
    identical
      ? `the manifests are identical: ${digests.a}`
      : differenceTable(
          [
            ['MEMBER', a, b],
            ['digest', digests.a, digests.b],
          ],
          changed,
          shownValue,
        ),
    { identical, digests, changed: changed.map(({ name, ...values }) => ({ member: name, ...values })) },
  );
  if (!identical) exit(EXIT.failed);
}
