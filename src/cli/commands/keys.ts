import { readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { Command, Option } from 'commander';
import { kemOf } from '../../crypto/hpke.ts';
import {
  decodePrivateKeyFile,
  decodePublicKeyFile,
  describePrivateKeyFile,
  encodePrivateKeyFile,
  encodePublicKeyFile,
  isPrivateKeyFileSealed,
} from '../../crypto/key-file.ts';
import { exportSecretKey, type ForeignForm, importSecretKey } from '../../crypto/key-import.ts';
import {
  encodeKemKey,
  encodeSigningKey,
  generateParticipantKeys,
  type ParticipantKeys,
} from '../../crypto/keys.ts';
import { signingPublicKey } from '../../crypto/signing.ts';
import { CocosError } from '../../errors.ts';
import type { CommandContext } from '../command-context.ts';
import { readInput, writeNew } from '../files.ts';
import { readKeys, readPassphrase, requireOwnerOnly } from '../global-options.ts';
import { table } from '../output.ts';

interface ImportOptions {
  readonly signing: string;
  readonly kem?: string;
  readonly out: string;
  readonly sourcePassphraseFile?: string;
  readonly passphraseFile?: string;
}

interface ExportOptions {
  readonly out: string;
  readonly which: 'signing' | 'kem';
  readonly form: ForeignForm;
  readonly passphraseFile?: string;
  readonly outPassphraseFile?: string;
}

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
      requireName(name);
      const passphrase = await optionalPassphrase(options.passphraseFile);
      const pair = generateParticipantKeys();
      const written = await writeKeys(name, pair, options.out, passphrase);
      output.result(`${written.signing}\nwrote ${written.privateFile} and ${written.publicFile}`, written);
    });
  keys
    .command('import')
    .description('make NAME.key and NAME.pub of keys of another program, PEM or JWK')
    .argument('<name>')
    .requiredOption('--signing <file>', 'private key of Ed25519')
    .option('--kem <file>', 'private key of X25519; a fresh X-Wing key when left out')
    .option('--out <folder>', 'where the files go', '.')
    .option('--source-passphrase-file <file>', 'opens an encrypted PEM')
    .option('--passphrase-file <file>', 'seal the private key under the first line of this file')
    .action(async (name: string, options: ImportOptions) => {
      requireName(name);
      const source = await optionalPassphrase(options.sourcePassphraseFile);
      const passphrase = await optionalPassphrase(options.passphraseFile);
      const secretKey = importSecretKey(await readSecret(options.signing), 'Ed25519', source);
      const fresh = generateParticipantKeys();
      const kem =
        options.kem === undefined
          ? fresh.kem
          : x25519Pair(importSecretKey(await readSecret(options.kem), 'X25519', source));
      const pair = { signing: { secretKey, publicKey: signingPublicKey(secretKey) }, kem };
      const written = await writeKeys(name, pair, options.out, passphrase);
      output.result(`${written.signing}\nwrote ${written.privateFile} and ${written.publicFile}`, written);
    });
  keys
    .command('export')
    .description('write a private key for another program')
    .argument('<file>', 'a private key file')
    .requiredOption('--out <file>', 'a new file, mode 0600')
    .addOption(new Option('--which <key>', 'which key').choices(['signing', 'kem']).default('signing'))
    .addOption(new Option('--form <form>', 'its form').choices(['pem', 'jwk']).default('pem'))
    .option('--passphrase-file <file>', 'opens a sealed private key')
    .option('--out-passphrase-file <file>', 'encrypt the PEM under the first line of this file')
    .action(async (file: string, options: ExportOptions) => {
      const opened = await readKeys(file, options.passphraseFile);
      const passphrase = await optionalPassphrase(options.outPassphraseFile);
      const { kem, signing } = opened.keys;
      if (options.which === 'kem' && kem.kem !== 'x25519') {
        throw new CocosError('CRYPTO_KEY_INVALID', `A key of ${kem.kem} has no PEM or JWK form yet.`);
      }
      if (options.form === 'jwk' && passphrase !== undefined)
        throw new CocosError('USAGE', 'A JWK is not encrypted; leave --out-passphrase-file out.');
      const text =
        options.which === 'signing'
          ? exportSecretKey('Ed25519', signing, options.form, passphrase)
          : exportSecretKey('X25519', kem, options.form, passphrase);
      await writeNew(options.out, text, 0o600);
      output.result(`wrote ${options.out}`, { file: options.out, which: options.which, form: options.form });
    });
  keys
    .command('list')
    .description('the key files in a folder')
    .argument('[folder]', 'where the files are', '.')
    .action(async (folder: string) => {
      const listed = await listKeys(folder);
      const rows = listed.map(({ file, name, state, signing }) => [file, name, state, signing]);
      output.result(table([['file', 'name', 'state', 'signing key'], ...rows]), listed);
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

function requireName(name: string): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name))
    throw new CocosError('USAGE', `${name} is no name for a key.`);
}

async function optionalPassphrase(file: string | undefined): Promise<string | undefined> {
  return file === undefined ? undefined : readPassphrase(file);
}

function x25519Pair(secretKey: Uint8Array): ParticipantKeys['kem'] {
  return { kem: 'x25519', secretKey, publicKey: kemOf('x25519').publicKeyOf(secretKey) };
}

/** Writes both files of a key pair, or neither. @throws CocosError FILE_EXISTS */
async function writeKeys(
  name: string,
  keys: ParticipantKeys,
  folder: string,
  passphrase: string | undefined,
) {
  const privateFile = path.join(folder, `${name}.key`);
  const publicFile = path.join(folder, `${name}.pub`);
  const created = new Date().toISOString();
  await writeNew(privateFile, encodePrivateKeyFile({ name, created, keys }, passphrase), 0o600);
  try {
    await writeNew(publicFile, encodePublicKeyFile(name, keys));
  } catch (thrown) {
    await rm(privateFile);
    throw thrown;
  }
  return { name, signing: encodeSigningKey(keys.signing.publicKey), privateFile, publicFile };
}

/** A private key that others can read is not taken in, whatever its form. */
async function readSecret(file: string): Promise<string> {
  const bytes = await readInput(file);
  await requireOwnerOnly(file);
  return bytes.toString('utf8');
}

/** What can be said of the key files in a folder without a passphrase; what is no key file is left out. */
async function listKeys(folder: string) {
  const names = await readdir(folder).catch((cause: unknown) => {
    throw new CocosError('FILE_NOT_FOUND', `There is no folder ${folder}.`, { cause });
  });
  const listed: { file: string; name: string; state: string; signing: string }[] = [];
  for (const file of names.filter((each) => /\.(key|pub)$/.test(each)).sort()) {
    const text = (await readInput(path.join(folder, file))).toString('utf8');
    try {
      if (file.endsWith('.pub')) {
        const { name, signing } = decodePublicKeyFile(text);
        listed.push({ file, name, state: 'public', signing });
        continue;
      }
      const { name, signing, isSealed } = describePrivateKeyFile(text);
      const exposed = await requireOwnerOnly(path.join(folder, file)).then(
        () => '',
        () => ', readable by others',
      );
      listed.push({ file, name, state: `private, ${isSealed ? 'sealed' : 'not sealed'}${exposed}`, signing });
    } catch (thrown) {
      listed.push({ file, name: '-', state: CocosError.from(thrown).code, signing: '-' });
    }
  }
  return listed;
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
