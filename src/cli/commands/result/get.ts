import { z } from 'zod';
import { CocosError } from '../../../errors.ts';
import type { CommandContext } from '../../command-context.ts';
import { alreadyExists } from '../../files.ts';
import { type FetchRequest, fetchedBefore, fetchResult } from '../../transfer/result-fetch.ts';
import { asParticipant, type ParticipantOptions } from '../../trust/participant.ts';
import { describeReceipt, exists } from './result-reader.ts';

interface Options extends ParticipantOptions {
  readonly out: string;
  readonly grpcOnly?: boolean;
}

export function run(context: CommandContext, options: Options, enclave: string): Promise<void> {
  const { output } = context;
  return asParticipant(context, options, enclave, 'consumer', async (participant) => {
    const { session, manifestDigest, keys, agentSigningKey, audit } = participant;
    const { out, grpcOnly = false } = options;
    const request: FetchRequest = {
      file: out,
      keys,
      manifestDigest,
      agentSigningKey,
      audit,
      grpcOnly,
      onProgress: (received, size) =>
        output.progress(`result: ${Math.floor((received / Math.max(size, 1)) * 100)} %`),
      onBroken: () => output.progress('result: connection lost, resuming'),
    };
    // An earlier command may have ended after it wrote the file and before it confirmed the delivery to the agent.
    const before = (await exists(out)) ? await fetchedBefore(session, request) : undefined;
    if (before === null) throw new CocosError('FILE_EXISTS', alreadyExists(out));
    const receipt = before ?? (await fetchResult(session, request));
    await session.call({ method: 'result.confirm' }, z.null());
    output.result([...describeReceipt(receipt), `wrote ${out}`], { file: out, receipt });
  });
}
