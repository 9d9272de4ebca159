import { canonicalDigest } from '../../../crypto/digest.ts';
import type { Manifest } from '../../../machines/manifest.ts';
import type { CommandContext } from '../../command-context.ts';
import { readManifest } from '../../manifest-file.ts';
import { table } from '../../output.ts';

export async function run({ output }: CommandContext, _options: unknown, file: string): Promise<void> {
  const manifest = await readManifest(file);
  output.result(describe(manifest), { digest: canonicalDigest(manifest), manifest });
}

function describe(manifest: Manifest): string {
  const start =
    manifest.start === 'auto' ? 'automatically, when all inputs are uploaded' : manifest.start.join(', ');
  return table([
    ['digest', canonicalDigest(manifest)],
    ['id', manifest.id],
    ['name', manifest.name],
    [
      'algorithm',
      `${manifest.algorithm.kind} ${manifest.algorithm.digest} from ${manifest.algorithm.provider}`,
    ],
    ...manifest.datasets.map((each) => ['dataset', `${each.name} ${each.digest} from ${each.provider}`]),
    ...manifest.consumers.map((each) => ['consumer', each.signing]),
    ['started by', start],
    ['stopped by', manifest.stop.join(', ') || 'the host only'],
    [
      'limits',
      `${manifest.limits.seconds} s, ${manifest.limits.memoryMiB} MiB memory, ${manifest.limits.diskMiB} MiB disk, ${manifest.limits.processes} processes`,
    ],
    ...quotaRows(manifest.limits),
    ...Object.entries(manifest.disclosure ?? {}).map(([name, value]) => ['disclosure', `${name} ${value}`]),
  ]);
}

function quotaRows({ inputMiB, participantMiB, participantTransfers }: Manifest['limits']): string[][] {
  return [
    ['all inputs', inputMiB, 'MiB'],
    ['inputs per participant', participantMiB, 'MiB'],
    ['concurrent uploads', participantTransfers, 'per participant'],
  ].flatMap(([what, limit, unit]) => (limit === undefined ? [] : [[String(what), `${limit} ${unit}`]]));
}
