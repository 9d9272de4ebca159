import { generateParticipantKeys } from '../../../crypto/keys.ts';
import type { CommandContext } from '../../command-context.ts';
import { optionalPassphrase } from '../../key-files.ts';
import { requireName, writeKeys } from './key-pair-files.ts';

interface Options {
  readonly out: string;
  readonly passphraseFile?: string;
}

export async function run({ output }: CommandContext, options: Options, name: string): Promise<void> {
  requireName(name);
  const passphrase = await optionalPassphrase(options.passphraseFile);
  const written = await writeKeys(name, generateParticipantKeys(), options.out, passphrase);
  output.result(
    [
      written.signing,
      `fingerprint ${written.fingerprint}`,
      `wrote ${written.privateFile} and ${written.publicFile}`,
    ],
    written,
  );
}
