import { decodePublicKeyFile, PRIVATE_KEY_KIND } from '../../../crypto/key-file.ts';
import { encodeKemKey, encodeSigningKey, keyFingerprint } from '../../../crypto/keys.ts';
import { CocosError } from '../../../errors.ts';
import type { CommandContext } from '../../command-context.ts';
import { namingFile, readInput } from '../../files.ts';
import { openKeys } from '../../key-files.ts';

interface Options {
  readonly passphraseFile?: string;
}

export async function run({ output }: CommandContext, options: Options, file: string): Promise<void> {
  const keys = await publicKeysIn(file, options.passphraseFile);
  const fingerprint = keyFingerprint(keys);
  const lines = [keys.name, keys.signing, keys.kem, `fingerprint ${fingerprint}`];
  output.result(lines, { ...keys, fingerprint });
}

async function publicKeysIn(file: string, passphraseFile: string | undefined) {
  const text = (await readInput(file)).toString('utf8');
  if (!text.includes(PRIVATE_KEY_KIND)) {
    if (passphraseFile !== undefined) {
      throw new CocosError('KEY_PASSPHRASE', `${file} is not a sealed private key. Omit --passphrase-file.`);
    }
    const { name, signing, kem } = namingFile(file, () => decodePublicKeyFile(text));
    return { name, signing, kem };
  }
  const { name, keys } = await openKeys(file, text, passphraseFile);
  return { name, signing: encodeSigningKey(keys.signing.publicKey), kem: encodeKemKey(keys.kem) };
}
