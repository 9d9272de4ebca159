import { exportSecretKey, type ForeignForm } from '../../../crypto/key-import.ts';
import { CocosError } from '../../../errors.ts';
import type { CommandContext } from '../../command-context.ts';
import { writeNew } from '../../files.ts';
import { optionalPassphrase, readKeys } from '../../key-files.ts';

interface Options {
  readonly out: string;
  readonly which: 'signing' | 'kem';
  readonly form: ForeignForm;
  readonly passphraseFile?: string;
  readonly outPassphraseFile?: string;
}

export async function run({ output }: CommandContext, options: Options, file: string): Promise<void> {
  const opened = await readKeys(file, options.passphraseFile);
  const passphrase = await optionalPassphrase(options.outPassphraseFile);
  const { kem, signing } = opened.keys;
  if (options.which === 'kem' && kem.kem !== 'x25519') {
    throw new CocosError(
      'CRYPTO_KEY_INVALID',
      `Cannot export the ${kem.kem} key in ${file}: only X25519 keys have a PEM or JWK format.`,
    );
  }
  if (options.form === 'jwk' && passphrase !== undefined) {
    throw new CocosError(
      'USAGE',
      'A JWK cannot be encrypted. Use --form pem, or omit --out-passphrase-file.',
    );
  }
  const text =
    options.which === 'signing'
      ? exportSecretKey('Ed25519', signing, options.form, passphrase)
      : exportSecretKey('X25519', kem, options.form, passphrase);
  await writeNew(options.out, text, 0o600);
  output.result(`wrote ${options.out}`, { file: options.out, which: options.which, form: options.form });
}
