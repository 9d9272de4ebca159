import path from 'node:path';
import { Command } from 'commander';
import {
  decodePrivateKeyFile,
  decodePublicKeyFile,
  encodePrivateKeyFile,
  encodePublicKeyFile,
  isPrivateKeyFileSealed,
} from '../../crypto/key-file.ts';
import { encodeKemKey, encodeSigningKey, generateParticipantKeys } from '../../crypto/keys.ts';
import { CocosError } from '../../errors.ts';
import { readPassphrase } from '../context.ts';
import { readInput, writeNew } from '../files.ts';
import type { CommandContext } from '../program.ts';

interface GenerateOptions {
  readonly out: string;
  readonly passphraseFile?: string;
}

export function keyCommands({ output }: CommandContext): Command {
  const keys = new Command('keys').description('key pairs of participants');
  keys
    .command('generate')
    .description('make a key pair: NAME.key (private, mode 0600) and NAME.pub')
    .argument('<name>')
    .option('--out <folder>', 'where the files go', '.')
    .option('--passphrase-file <file>', 'seal the private key under the first line of this file')
    .action(async (name: string, options: GenerateOptions) => {
      if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name))
        throw new CocosError('USAGE', `${name} is no name for a key.`);
      const passphrase =
        options.passphraseFile === undefined ? undefined : await readPassphrase(options.passphraseFile);
      const pair = generateParticipantKeys();
      const privateFile = path.join(options.out, `${name}.key`);
      const publicFile = path.join(options.out, `${name}.pub`);
      const created = new Date().toISOString();
      await writeNew(privateFile, encodePrivateKeyFile({ name, created, keys: pair }, passphrase), 0o600);
      await writeNew(publicFile, encodePublicKeyFile(name, pair));
      const signing = encodeSigningKey(pair.signing.publicKey);
      output.result(`${signing}\nwrote ${privateFile} and ${publicFile}`, {
        name,
        signing,
        privateFile,
        publicFile,
      });
    });
  keys
    .command('show')
    .description('public keys in a private or public key file')
    .argument('<file>')
    .option('--passphrase-file <file>', 'opens a sealed private key')
    .action(async (file: string, options: { readonly passphraseFile?: string }) => {
      const shown = await describe(file, options.passphraseFile);
      output.result(`${shown.name}\n${shown.signing}\n${shown.kem}`, shown);
    });
  return keys;
}

async function describe(file: string, passphraseFile: string | undefined) {
  const text = (await readInput(file)).toString('utf8');
  if (!text.includes('private key')) {
    const { name, signing, kem } = decodePublicKeyFile(text);
    return { name, signing, kem };
  }
  if (isPrivateKeyFileSealed(text) && passphraseFile === undefined) {
    throw new CocosError('KEY_PASSPHRASE', `${file} is sealed; give --passphrase-file.`);
  }
  const passphrase = passphraseFile === undefined ? undefined : await readPassphrase(passphraseFile);
  const { name, keys } = decodePrivateKeyFile(text, passphrase);
  return { name, signing: encodeSigningKey(keys.signing.publicKey), kem: encodeKemKey(keys.kem) };
}
