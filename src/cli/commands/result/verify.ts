import { EXIT } from '../../../errors.ts';
import type { CommandContext } from '../../command-context.ts';
import { withOpenFile } from '../../files.ts';
import { readKeys } from '../../key-files.ts';
import {
  describeVerification,
  readResultTrust,
  type VerificationOptions,
  verificationToJson,
  verifyFile,
} from './verification.ts';

interface Options extends VerificationOptions {
  readonly key?: string;
  readonly passphraseFile?: string;
}

export async function run(context: CommandContext, options: Options, file: string): Promise<void> {
  const { output, environment, exit } = context;
  const keys =
    options.key === undefined ? undefined : (await readKeys(options.key, options.passphraseFile)).keys;
  const given = await readResultTrust(options, environment, keys);
  const verified = await withOpenFile(file, (handle) => verifyFile(file, handle, given));
  output.result(describeVerification(verified), verificationToJson(verified));
  if (verified.outcome !== 'verified') exit(EXIT.rejected);
}
