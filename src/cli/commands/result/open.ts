import { chmod, mkdtemp } from 'node:fs/promises';
import path from 'node:path';
import { removeTree } from '../../../archive/remove-tree.ts';
import { unpackArchive } from '../../../archive/unpack.ts';
import { ByteReader } from '../../../crypto/byte-reader.ts';
import { equal } from '../../../crypto/bytes.ts';
import { createDigest } from '../../../crypto/digest.ts';
import { encodeSigningKey, type ParticipantKeys } from '../../../crypto/keys.ts';
import { CocosError } from '../../../errors.ts';
import type { Receipt } from '../../../protocol/receipt.ts';
import { encodeResultHeader, openResult, type ResultHeader } from '../../../protocol/result-file.ts';
import type { CommandContext } from '../../command-context.ts';
import { alreadyExists, chunksOf, notWritten, publishFolder, withOpenFile } from '../../files.ts';
import { readKeys } from '../../key-files.ts';
import { contentKeyOf, requireRecipient } from '../../trust/result-content.ts';
import type { ResultTrust } from '../../trust/result-verification.ts';
import { describeReceipt, exists, readHeader, withResult } from './result-reader.ts';
import { readResultTrust, requireVerified, type VerificationOptions, verifyFile } from './verification.ts';

interface Options extends VerificationOptions {
  readonly key: string;
  readonly out: string;
  readonly passphraseFile?: string;
  readonly forceUnverified?: boolean;
}

export async function run(context: CommandContext, options: Options, file: string): Promise<void> {
  const { keys } = await readKeys(options.key, options.passphraseFile);
  if (await exists(options.out)) throw new CocosError('FILE_EXISTS', alreadyExists(options.out));
  const receipt =
    options.forceUnverified === true
      ? await openUnverified(context, options, file, keys)
      : await openVerified(context, options, file, keys);
  context.output.result([...describeReceipt(receipt), `unpacked into ${options.out}`], {
    folder: options.out,
    receipt,
  });
}

async function openUnverified(
  { output }: CommandContext,
  { out }: Options,
  file: string,
  keys: ParticipantKeys,
): Promise<Receipt> {
  output.note('UNVERIFIED: anybody who knows your public key could have made this result.');
  return withResult(file, async (reader) => {
    const { header, receipt } = await readHeader(file, reader);
    await unpackInto(out, openWith(header, reader, keys), receipt);
    return receipt;
  });
}

/** Verifies the whole file, and then opens the same bytes. */
async function openVerified(
  { environment }: CommandContext,
  options: Options,
  file: string,
  keys: ParticipantKeys,
): Promise<Receipt> {
  const given = await readResultTrust(options, environment, undefined);
  return withOpenFile(file, async (handle) => {
    const first = await readHeader(file, new ByteReader(chunksOf(handle)));
    requireRecipient(first.header, encodeSigningKey(keys.signing.publicKey));
    requireVerified(file, await verifyFile(file, handle, withBodyKey(first.receipt, given, keys)));
    const reader = new ByteReader(chunksOf(handle));
    const { header, receipt } = await readHeader(file, reader);
    // Another program may have written to the file since: what is opened must be what was verified.
    if (!equal(encodeResultHeader(header), encodeResultHeader(first.header))) {
      throw new CocosError('RESULT_INVALID', `${file} was changed while it was opened.`);
    }
    await unpackInto(options.out, openWith(header, reader, keys), receipt);
    return receipt;
  });
}

/** The key is needed to verify the body only if the receipt does not state the digest of the sealed bytes. */
function withBodyKey(receipt: Receipt, given: ResultTrust, keys: ParticipantKeys): ResultTrust {
  return receipt.sealedDigest === undefined ? { ...given, keys } : given;
}

function openWith(
  header: ResultHeader,
  reader: ByteReader,
  keys: ParticipantKeys,
): AsyncIterable<Uint8Array> {
  contentKeyOf(header, keys).fill(0);
  const signing = encodeSigningKey(keys.signing.publicKey);
  return openResult(header, reader, { kemSecretKey: keys.kem.secretKey, signing });
}

/** What was sealed for its consumer is for nobody else on this machine. */
const OWN_FOLDER = 0o700;

/** Unpacks into a folder beside the target, which is published only if all of the content matches the receipt. */
async function unpackInto(folder: string, plain: AsyncIterable<Uint8Array>, receipt: Receipt): Promise<void> {
  const digest = createDigest();
  const contentSize = receipt.resultSize - (receipt.paddingBytes ?? 0);
  async function* measured(): AsyncGenerator<Uint8Array> {
    for await (const chunk of plain) {
      const left = Math.max(0, contentSize - digest.size);
      digest.update(chunk);
      if (left > 0) yield chunk.subarray(0, left);
    }
  }
  // A name that nobody else has, so that nothing of anybody else is removed.
  const own = await mkdtemp(`${folder}.part-`).catch((cause: unknown) => {
    throw notWritten(folder, cause);
  });
  const unfinished = path.join(own, 'content');
  try {
    await unpackArchive(measured(), unfinished);
    if (digest.finish() !== receipt.resultDigest) {
      throw new CocosError('RESULT_INVALID', 'The result does not have the digest that its receipt names.');
    }
    await chmod(unfinished, OWN_FOLDER);
    await publishFolder(unfinished, folder);
  } finally {
    // The sealed file still holds all of it; plaintext that failed a check must not remain.
    await removeTree(own);
  }
}
