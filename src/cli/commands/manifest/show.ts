import { canonicalDigest } from '../../../crypto/digest.ts';
import { keyFingerprint } from '../../../crypto/keys.ts';
import type { Manifest } from '../../../machines/manifest.ts';
import type { CommandContext } from '../../command-context.ts';
import { readManifest } from '../../manifest-file.ts';
import { membersOf, shownValue } from '../../manifest-members.ts';
import { table } from '../../output.ts';

export async function run({ output }: CommandContext, _options: unknown, file: string): Promise<void> {
  const manifest = await readManifest(file);
  output.result(describe(manifest), { digest: canonicalDigest(manifest), manifest });
}

/** All members, since the parties consent to all of them: a list of chosen ones would hide the rest. */
function describe(manifest: Manifest): string[] {
  const absent = [
    ...(manifest.policyDigest === undefined
      ? [['policyDigest', 'none: each party uses its own policy']]
      : []),
    ...(['inputMiB', 'participantMiB', 'participantTransfers'] as const).flatMap((name) =>
      manifest.limits[name] === undefined ? [[`limits.${name}`, 'default']] : [],
    ),
  ];
  return [
    ...table([
      ['digest', canonicalDigest(manifest)],
      ...membersOf(manifest).map(({ path, value }) => [path, shownValue(value)]),
      ...absent,
    ]),
    '',
    'Fingerprints of both keys of each consumer; compare them with: cocos-cli keys show FILE.pub',
    ...table(manifest.consumers.map((consumer, index) => [`consumers[${index}]`, keyFingerprint(consumer)])),
  ];
}
