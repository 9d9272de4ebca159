import { createReadStream } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { DEFAULT_ARCHIVE_LIMITS } from '../../archive/limits.ts';
import { unpackArchive } from '../../archive/unpack.ts';
import { CocosError } from '../../errors.ts';
import type { Manifest } from '../../machines/manifest.ts';
import { fromNodeError } from '../../runtime/node-error.ts';
import type { InputsPort } from '../ports.ts';

/**
 * The datasets as the algorithm sees them, by name: files, and directories where the manifest says so. The tar of a
 * directory is deleted once it is unpacked, so that the enclave holds its content twice only meanwhile.
 *
 * @throws CocosError ARCHIVE_UNSAFE for a tar that is damaged or has an entry that is not allowed; LIMIT_EXCEEDED when
 * the enclave has too little memory left; CANCELLED when the signal aborts
 */
export async function openDatasets(
  datasets: Manifest['datasets'],
  inputs: Pick<InputsPort, 'committedFile' | 'unpackedFolder'>,
  signal: AbortSignal,
): Promise<Map<string, string>> {
  const opened = new Map<string, string>();
  for (const { name, kind } of datasets) {
    const file = inputs.committedFile(name);
    if (kind === undefined) {
      opened.set(name, file);
      continue;
    }
    const folder = inputs.unpackedFolder(name);
    await unpackDataset(name, file, folder, signal);
    opened.set(name, folder);
  }
  return opened;
}

async function unpackDataset(name: string, file: string, folder: string, signal: AbortSignal): Promise<void> {
  // The files in a tar are not larger than the tar.
  const limits = { ...DEFAULT_ARCHIVE_LIMITS, maxBytes: (await stat(file)).size };
  try {
    await unpackArchive(bytesOf(file, signal), folder, limits);
  } catch (cause) {
    if (signal.aborted) throw cancelled();
    if (cause instanceof CocosError) {
      const { code, message, details } = cause;
      throw new CocosError(code, `The dataset '${name}' cannot be unpacked: ${message}`, { cause, details });
    }
    if (fromNodeError(cause).code !== 'HOST_DISK_FULL') throw cause;
    throw new CocosError(
      'LIMIT_EXCEEDED',
      `The enclave has no memory left to unpack the dataset '${name}'. Create the enclave with more memory.`,
      { cause },
    );
  }
  await rm(file);
}

/** Not by the stream's own signal: a stream that is aborted before it is read throws where nobody catches. */
async function* bytesOf(file: string, signal: AbortSignal): AsyncGenerator<Buffer> {
  for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) {
    if (signal.aborted) throw cancelled();
    yield chunk;
  }
}

function cancelled(): CocosError {
  return new CocosError('CANCELLED', 'The run was aborted on request.');
}
