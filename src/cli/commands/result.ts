import { createReadStream } from 'node:fs';
import { access, rename, rm } from 'node:fs/promises';
import { Command } from 'commander';
import { z } from 'zod';
import { unpackArchive } from '../../archive/unpack.ts';
import { decodeClaims } from '../../attestation/evidence/claims.ts';
import { decodeEvidence } from '../../attestation/evidence/evidence.ts';
import { ByteReader } from '../../crypto/byte-reader.ts';
import { createDigest, sha256Text } from '../../crypto/digest.ts';
import { encodeSigningKey } from '../../crypto/keys.ts';
import { CocosError } from '../../errors.ts';
import type { Receipt } from '../../protocol/receipt.ts';
import { openResult, readResultHeader, verifyResultHeader } from '../../protocol/result-file.ts';
import type { CommandContext } from '../command-context.ts';
import { readInput } from '../files.ts';
import { readKeys } from '../global-options.ts';
import { table } from '../output.ts';
import { type FetchRequest, fetchedBefore, fetchResult } from '../transfer/result-fetch.ts';
import { asParticipant, withParticipantOptions } from '../trust/participant.ts';

interface GetOptions {
  readonly out: string;
  readonly grpcOnly?: boolean;
}

interface OpenOptions {
  readonly key: string;
  readonly out: string;
  readonly passphraseFile?: string;
}

export function resultCommands(context: CommandContext): Command {
  const { output } = context;
  const result = new Command('result').description('results: fetch, verify, open');
  withParticipantOptions(
    result
      .command('get')
      .description('fetch the sealed result and its receipt')
      .argument('<enclave>')
      .requiredOption('--out <file>', 'where the sealed result goes')
      .option('--grpc-only', 'fetch inside gRPC, for paths that carry nothing else'),
  ).action((enclave: string, options: GetOptions, command: Command) =>
    asParticipant(context, command, enclave, 'consumer', async ({ session, manifestDigest, keys }) => {
      const { out, grpcOnly = false } = options;
      const request: FetchRequest = {
        file: out,
        keys,
        manifestDigest,
        grpcOnly,
        onProgress: (received, size) =>
          output.progress(`result: ${Math.floor((received / Math.max(size, 1)) * 100)} %`),
        onBroken: () => output.progress('result: the connection broke, going on'),
      };
      // A file may be there of an earlier time that ended before the agent had heard of it.
      const before = (await exists(out)) ? await fetchedBefore(session, request) : undefined;
      if (before === null) throw new CocosError('FILE_EXISTS', `${out} exists and is not overwritten.`);
      const receipt = before ?? (await fetchResult(session, request));
      await session.call({ method: 'result.confirm' }, z.null());
      output.result(`${describe(receipt)}\nwrote ${out}`, { file: out, receipt });
    }),
  );
  result
    .command('verify')
    .description('check the receipt of a result offline, against the evidence it names when that is given')
    .argument('<file>')
    .option('--evidence <file>', 'evidence of the enclave, appraised before')
    .action(async (file: string, options: { readonly evidence?: string }) => {
      const header = await withResult(file, async (reader) => readResultHeader(reader));
      const receipt = verifyResultHeader(header);
      if (options.evidence !== undefined) {
        const { claims } = decodeEvidence(await readInput(options.evidence));
        const { signingKey } = decodeClaims(claims);
        const isProven =
          encodeSigningKey(signingKey) === header.agentSigningKey &&
          sha256Text(claims) === receipt.evidenceDigest;
        if (!isProven)
          throw new CocosError(
            'RESULT_INVALID',
            'The receipt is not of the enclave that gave this evidence.',
          );
      }
      output.result(describe(receipt), { receipt, agentSigningKey: header.agentSigningKey });
    });
  result
    .command('open')
    .description('open a sealed result with your key and unpack it into a new folder')
    .argument('<file>')
    .requiredOption('--key <file>', 'your private key')
    .requiredOption('--out <folder>', 'a folder that is not there yet')
    .option('--passphrase-file <file>', 'opens a sealed private key')
    .action(async (file: string, options: OpenOptions) => {
      const { keys } = await readKeys(options.key, options.passphraseFile);
      if (await exists(options.out)) throw new CocosError('FILE_EXISTS', `${options.out} exists already.`);
      const receipt = await withResult(file, async (reader) => {
        const header = await readResultHeader(reader);
        const verified = verifyResultHeader(header);
        const signing = encodeSigningKey(keys.signing.publicKey);
        const plain = openResult(header, reader, { kemSecretKey: keys.kem.secretKey, signing });
        await unpackInto(options.out, plain, verified);
        return verified;
      });
      output.result(`${describe(receipt)}\nunpacked into ${options.out}`, { folder: options.out, receipt });
    });
  return result;
}

/** Unpacks beside the folder, and moves it into place only when the whole of it was what the receipt says. */
async function unpackInto(folder: string, plain: AsyncIterable<Uint8Array>, receipt: Receipt): Promise<void> {
  const digest = createDigest();
  async function* measured(): AsyncGenerator<Uint8Array> {
    for await (const chunk of plain) {
      digest.update(chunk);
      yield chunk;
    }
  }
  const unfinished = `${folder}.part-${process.pid}`;
  try {
    await unpackArchive(measured(), unfinished);
    if (digest.finish() !== receipt.resultDigest) {
      throw new CocosError('RESULT_INVALID', 'The result is not the one that the receipt is for.');
    }
    await rename(unfinished, folder);
  } catch (thrown) {
    await rm(unfinished, { recursive: true, force: true });
    throw thrown;
  }
}

async function withResult<T>(file: string, run: (reader: ByteReader) => Promise<T>): Promise<T> {
  if (!(await exists(file))) throw new CocosError('FILE_NOT_FOUND', `There is no file ${file}.`);
  const stream = createReadStream(file);
  try {
    return await run(new ByteReader(stream));
  } finally {
    stream.destroy();
  }
}

async function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}

function describe(receipt: Receipt): string {
  return table([
    ['receipt', 'verified: signed by the agent of the enclave'],
    ['platform', receipt.platform === 'emulated' ? 'EMULATED, not hardware' : receipt.platform],
    ['computation', receipt.computationId],
    ['manifest', receipt.manifestDigest],
    ['algorithm', receipt.algorithmDigest],
    ...receipt.datasets.map((dataset) => ['dataset', `${dataset.name} ${dataset.digest}`]),
    ['result', `${receipt.resultDigest}, ${receipt.resultSize} bytes`],
    ['runtime', `${receipt.runtime}, exit code ${receipt.exitCode}`],
    ['ran', `${receipt.startedAt} to ${receipt.endedAt}`],
  ]);
}
