import { rm } from 'node:fs/promises';
import { unpackArchive } from '../../../archive/unpack.ts';
import { createDigest } from '../../../crypto/digest.ts';
import { encodeSigningKey } from '../../../crypto/keys.ts';
import { CocosError } from '../../../errors.ts';
import type { Receipt } from '../../../protocol/receipt.ts';
import { openResult } from '../../../protocol/result-file.ts';
import type { CommandContext } from '../../command-context.ts';
import { alreadyExists, publishFolder } from '../../files.ts';
import { readKeys } from '../../key-files.ts';
import { describeReceipt, exists, readHeader, withResult } from './result-reader.ts';

interface Options {
  readonly key: string;
  readonly out: string;
  readonly passphraseFile?: string;
}

export async function run({ output }: CommandContext, options: Options, file: string): Promise<void> {
  const { keys } = await readKeys(options.key, options.passphraseFile);
  if (await exists(options.out)) throw new CocosError('FILE_EXISTS', alreadyExists(options.out));
  const receipt = await withResult(file, async (reader) => {
    const { header, receipt: verified } = await readHeader(file, reader);
    const signing = encodeSigningKey(keys.signing.publicKey);
    const plain = openResult(header, reader, { kemSecretKey: keys.kem.secretKey, signing });
    await unpackInto(options.out, plain, verified);
    return verified;
  });
  output.result([...describeReceipt(receipt), `unpacked into ${options.out}`], {
    folder: options.out,
    receipt,
  });
}

/** Unpacks into a folder beside the target, which is published only if all of the content matches the receipt. */
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
      throw new CocosError('RESULT_INVALID', 'The result does not have the digest that its receipt names.');
    }
    await publishFolder(unfinished, folder);
  } catch (thrown) {
    // The sealed file still holds all of it; plaintext that failed a check must not remain.
    await rm(unfinished, { recursive: true, force: true });
    throw thrown;
  }
}
