import { Command } from 'commander';
import { digestNameOf } from '../../crypto/digest.ts';
import { CocosError } from '../../errors.ts';
import { ALGORITHM_INPUT } from '../../machines/manifest.ts';
import type { CommandContext } from '../command-context.ts';
import { readManifest } from '../global-options.ts';
import { gzipSource } from '../transfer/gzip-source.ts';
import { upload } from '../transfer/upload.ts';
import { uploadSource } from '../transfer/upload-source.ts';
import { asParticipant, type ParticipantOptions, withParticipantOptions } from '../trust/participant.ts';

interface SendOptions {
  readonly grpcOnly?: boolean;
  readonly compress?: boolean;
}

export function inputCommands(context: CommandContext): Command[] {
  const algo = withSendOptions(
    new Command('algo')
      .description('verify an enclave and send it the algorithm, sealed')
      .argument('<enclave>')
      .argument('<file>', 'a file, or a folder, which is sent as a tar'),
  ).action((enclave: string, file: string, options: SendOptions, command: Command) =>
    send(context, command, { enclave, input: ALGORITHM_INPUT, file }, options),
  );
  const data = withSendOptions(
    new Command('data')
      .description('verify an enclave and send it a dataset, sealed')
      .argument('<enclave>')
      .argument('<name>', 'name of the dataset in the manifest')
      .argument('<file>', 'a file, or a folder, which is sent as a tar'),
  ).action((enclave: string, input: string, file: string, options: SendOptions, command: Command) =>
    send(context, command, { enclave, input, file }, options),
  );
  return [algo, data];
}

function withSendOptions(command: Command): Command {
  return withParticipantOptions(command)
    .option('--grpc-only', 'send inside gRPC, for paths that carry nothing else')
    .option('--compress', 'send it as gzip; its size then tells something of what is in it');
}

interface Sent {
  readonly enclave: string;
  readonly input: string;
  readonly file: string;
}

async function send(
  context: CommandContext,
  command: Command,
  { enclave, input, file }: Sent,
  { grpcOnly = false, compress = false }: SendOptions,
): Promise<void> {
  const { output } = context;
  const manifest = await readManifest(command.opts<ParticipantOptions>().manifest);
  const entry =
    input === ALGORITHM_INPUT
      ? manifest.algorithm
      : manifest.datasets.find((dataset) => dataset.name === input);
  if (entry === undefined) throw new CocosError('INPUT_NOT_EXPECTED', `The manifest has no input ${input}.`);
  const hash = digestNameOf(entry.digest);
  const content = await uploadSource(file, hash);
  const source = compress ? await gzipSource(content, hash) : content;
  const role = input === ALGORITHM_INPUT ? 'algorithm' : 'dataset';
  await asParticipant(context, command, enclave, role, async ({ session }) => {
    if (source.digest !== undefined && entry.digest !== source.digest) {
      throw new CocosError('TRANSFER_DIGEST_MISMATCH', `${file} is not the ${input} of the manifest.`, {
        details: { expected: entry.digest, found: source.digest },
      });
    }
    const finished = await upload(session, {
      input,
      source,
      digest: entry.digest,
      grpcOnly,
      onProgress: (sent) =>
        output.progress(`${input}: ${Math.floor((sent / Math.max(source.size, 1)) * 100)} %`),
      onBroken: () => output.progress(`${input}: the connection broke, going on`),
    });
    output.result(`the enclave took in ${input}: ${finished.digest}, ${finished.size} bytes`, {
      input,
      ...finished,
    });
  });
}
