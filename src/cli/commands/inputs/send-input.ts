import { digestNameOf } from '../../../crypto/digest.ts';
import { CocosError } from '../../../errors.ts';
import { ALGORITHM_INPUT } from '../../../machines/manifest.ts';
import type { CommandContext } from '../../command-context.ts';
import { readManifest } from '../../manifest-file.ts';
import { withAlgorithm } from '../../transfer/algorithm-source.ts';
import { datasetSource } from '../../transfer/dataset-source.ts';
import { gzipSource } from '../../transfer/gzip-source.ts';
import { upload } from '../../transfer/upload.ts';
import type { UploadSource } from '../../transfer/upload-source.ts';
import { asParticipant, type ParticipantOptions } from '../../trust/participant.ts';

export interface SendOptions extends ParticipantOptions {
  readonly grpcOnly?: boolean;
  readonly compress?: boolean;
}

interface Sent {
  readonly enclave: string;
  readonly input: string;
  readonly file: string;
}

export async function sendInput(
  context: CommandContext,
  options: SendOptions,
  { enclave, input, file }: Sent,
): Promise<void> {
  const { compress = false } = options;
  const { algorithm, datasets, limits } = await readManifest(options.manifest);
  const dataset = datasets.find(({ name }) => name === input);
  if (input !== ALGORITHM_INPUT && dataset === undefined) {
    const names = datasets.map(({ name }) => name).join(', ') || 'none';
    throw new CocosError(
      'INPUT_NOT_EXPECTED',
      `The manifest has no dataset '${input}'. Its datasets are: ${names}.`,
    );
  }
  const { digest } = dataset ?? algorithm;
  const hash = digestNameOf(digest);
  const send = async (content: UploadSource) => {
    const source = compress ? await gzipSource(content, hash) : content;
    await sendSource(context, options, { enclave, input, file, source, digest });
  };
  if (dataset !== undefined) await send(await datasetSource(file, { name: input, kind: dataset.kind, hash }));
  else await withAlgorithm(file, { kind: algorithm.kind, hash, diskMiB: limits.diskMiB }, send);
}

interface SentSource extends Sent {
  readonly source: UploadSource;
  /** The one in the manifest. */
  readonly digest: string;
}

async function sendSource(
  context: CommandContext,
  options: SendOptions,
  { enclave, input, file, source, digest }: SentSource,
): Promise<void> {
  const { output } = context;
  const { grpcOnly = false } = options;
  const role = input === ALGORITHM_INPUT ? 'algorithm' : 'dataset';
  await asParticipant(context, options, enclave, role, async ({ session }) => {
    if (source.digest !== undefined && digest !== source.digest) {
      throw new CocosError(
        'TRANSFER_DIGEST_MISMATCH',
        `${file} does not have the digest of '${input}' in the manifest.`,
        { details: { expected: digest, found: source.digest } },
      );
    }
    const finished = await upload(session, {
      input,
      source,
      digest,
      grpcOnly,
      onProgress: (sent) =>
        output.progress(`${input}: ${Math.floor((sent / Math.max(source.size, 1)) * 100)} %`),
      onBroken: () => output.progress(`${input}: connection lost, resuming`),
    });
    output.result(`the enclave accepted ${input}: ${finished.digest}, ${finished.size} bytes`, {
      input,
      ...finished,
    });
  });
}
