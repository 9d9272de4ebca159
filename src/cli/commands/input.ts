import { createReadStream } from 'node:fs';
import { Command } from 'commander';
import { sealStream } from '../../crypto/segment-stream.ts';
import { uploadSegments } from '../../crypto/upload.ts';
import { CocosError } from '../../errors.ts';
import { ALGORITHM_INPUT } from '../../machines/manifest.ts';
import { TransferFinished, TransferOpened } from '../../rpc/sealed.ts';
import type { AgentSession } from '../agent-client.ts';
import { digestFile } from '../files.ts';
import { asParticipant, withParticipantOptions } from '../participant.ts';
import type { CommandContext } from '../program.ts';

/** Broken connections that one upload survives. */
const ATTEMPTS = 5;

export function inputCommands(context: CommandContext): Command[] {
  const algo = withParticipantOptions(
    new Command('algo')
      .description('verify an enclave and send it the algorithm, sealed')
      .argument('<enclave>')
      .argument('<file>'),
  ).action((enclave: string, file: string, _: unknown, command: Command) =>
    send(context, command, enclave, ALGORITHM_INPUT, file),
  );
  const data = withParticipantOptions(
    new Command('data')
      .description('verify an enclave and send it a dataset, sealed')
      .argument('<enclave>')
      .argument('<name>', 'name of the dataset in the manifest')
      .argument('<file>'),
  ).action((enclave: string, name: string, file: string, _: unknown, command: Command) =>
    send(context, command, enclave, name, file),
  );
  return [algo, data];
}

async function send(
  context: CommandContext,
  command: Command,
  enclave: string,
  input: string,
  file: string,
): Promise<void> {
  const { digest, size } = await digestFile(file);
  const role = input === ALGORITHM_INPUT ? 'algorithm' : 'dataset';
  await asParticipant(context, command, enclave, role, async ({ session, manifest }) => {
    const entry =
      input === ALGORITHM_INPUT
        ? manifest.algorithm
        : manifest.datasets.find((dataset) => dataset.name === input);
    if (entry === undefined)
      throw new CocosError('INPUT_NOT_EXPECTED', `The manifest has no input ${input}.`);
    if (entry.digest !== digest) {
      throw new CocosError('TRANSFER_DIGEST_MISMATCH', `${file} is not the ${input} of the manifest.`, {
        details: { expected: entry.digest, found: digest },
      });
    }
    const finished = await uploadFile(context, session, { input, file, size, digest });
    context.output.result(`the enclave took in ${input}: ${finished.digest}, ${finished.size} bytes`, {
      input,
      ...finished,
    });
  });
}

interface UploadFile {
  readonly input: string;
  readonly file: string;
  readonly size: number;
  readonly digest: string;
}

/** Sends a file; after a break it goes on with the first segment that the agent does not hold. */
async function uploadFile(
  { output }: CommandContext,
  session: AgentSession,
  { input, file, size, digest }: UploadFile,
): Promise<TransferFinished> {
  for (let attempt = 1; ; attempt++) {
    const opened = await session.call({ method: 'transfer.open', input, size, digest }, TransferOpened);
    const { transferId, aead, segmentSize, firstSegment } = opened;
    const parameters = uploadSegments(session.channel, aead, {
      id: transferId,
      input,
      size,
      digest,
      attempt: opened.attempt,
    });
    let sent = firstSegment * segmentSize;
    const source = createReadStream(file, { start: sent, highWaterMark: segmentSize });
    try {
      await session.upload(transferId, sealStream(source, parameters, firstSegment), (bytes) => {
        sent += bytes;
        output.progress(`${input}: ${Math.min(100, Math.floor((sent / Math.max(size, 1)) * 100))} %`);
      });
      return await session.call({ method: 'transfer.finish', transferId }, TransferFinished);
    } catch (thrown) {
      const error = CocosError.from(thrown);
      if (error.code !== 'AGENT_UNAVAILABLE' || attempt === ATTEMPTS) throw error;
      output.progress(`${input}: the connection broke, going on`);
    } finally {
      source.destroy();
    }
  }
}
