import { createReadStream } from 'node:fs';
import { access } from 'node:fs/promises';
import { ByteReader } from '../../../crypto/byte-reader.ts';
import type { Receipt } from '../../../protocol/receipt.ts';
import { type ResultHeader, readResultHeader, verifyResultHeader } from '../../../protocol/result-file.ts';
import { namingFile, rejectNamingFile, unreadable } from '../../files.ts';
import { table } from '../../output.ts';

/** Reads a result file as a stream. @throws CocosError FILE_NOT_FOUND, FILE_UNREADABLE */
export async function withResult<T>(file: string, run: (reader: ByteReader) => Promise<T>): Promise<T> {
  await access(file).catch((cause: unknown) => {
    throw unreadable(file, cause);
  });
  const stream = createReadStream(file);
  try {
    return await run(new ByteReader(stream));
  } finally {
    stream.destroy();
  }
}

/** The header of a result file with its verified receipt. @throws CocosError RESULT_INVALID, STREAM_TRUNCATED naming the file */
export async function readHeader(
  file: string,
  reader: ByteReader,
): Promise<{ readonly header: ResultHeader; readonly receipt: Receipt }> {
  const header = await readResultHeader(reader).catch(rejectNamingFile(file));
  return { header, receipt: namingFile(file, () => verifyResultHeader(header)) };
}

export async function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}

export function describeReceipt(receipt: Receipt): string[] {
  return table([
    ['platform', receipt.platform === 'emulated' ? 'EMULATED, not hardware' : receipt.platform],
    ['computation', receipt.computationId],
    ['manifest', receipt.manifestDigest],
    ['algorithm', receipt.algorithmDigest],
    ...receipt.datasets.map((dataset) => ['dataset', `${dataset.name} ${dataset.digest}`]),
    ['result', `${receipt.resultDigest}, ${receipt.resultSize} bytes`],
    ...(receipt.omittedEntries === undefined
      ? []
      : [['omitted', `${receipt.omittedEntries} entries that a result cannot hold; the log names them`]]),
    ['runtime', `${receipt.runtime}, exit code ${receipt.exitCode}`],
    ['ran', `${receipt.startedAt} to ${receipt.endedAt}`],
  ]);
}
