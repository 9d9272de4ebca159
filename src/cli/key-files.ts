import { stat } from 'node:fs/promises';
import {
  decodePrivateKeyFile,
  decodePublicKeyFile,
  describePrivateKeyFile,
  isPrivateKeyFileSealed,
  PRIVATE_KEY_KIND,
  type PublicKeyFile,
} from '../crypto/key-file.ts';
import { CocosError } from '../errors.ts';
import { namingFile, readInput } from './files.ts';

/** Reads a private key file. @throws CocosError KEY_FILE_PERMISSIONS, KEY_FILE_INVALID, KEY_PASSPHRASE */
export async function readKeys(file: string, passphraseFile: string | undefined) {
  const text = (await readInput(file)).toString('utf8');
  await requireOwnerOnly(file);
  return openKeys(file, text, passphraseFile);
}

/** Decodes the text of a private key file. @throws CocosError KEY_FILE_INVALID, KEY_PASSPHRASE */
export async function openKeys(file: string, text: string, passphraseFile: string | undefined) {
  const passphrase = await optionalPassphrase(passphraseFile);
  const isSealed = namingFile(file, () => isPrivateKeyFileSealed(text));
  if (isSealed && passphrase === undefined) {
    throw new CocosError(
      'KEY_PASSPHRASE',
      `The key file ${file} is sealed. Name the file with its passphrase with --passphrase-file.`,
    );
  }
  return namingFile(file, () => decodePrivateKeyFile(text, passphrase));
}

/** The public keys in a public or private key file, for which no passphrase is needed. @throws CocosError KEY_FILE_INVALID */
export async function readPublicKeys(file: string): Promise<PublicKeyFile> {
  const text = (await readInput(file)).toString('utf8');
  return namingFile(file, () => {
    if (!text.includes(PRIVATE_KEY_KIND)) return decodePublicKeyFile(text);
    const { name, signing, kem } = describePrivateKeyFile(text);
    return { name, signing, kem };
  });
}

/** Reads a file with a secret. @throws CocosError KEY_FILE_PERMISSIONS */
export async function readSecret(file: string): Promise<string> {
  const bytes = await readInput(file);
  await requireOwnerOnly(file);
  return bytes.toString('utf8');
}

/** @throws CocosError KEY_FILE_PERMISSIONS when anyone but the owner has access to the file */
export async function requireOwnerOnly(file: string): Promise<void> {
  const { mode } = await stat(file);
  if ((mode & 0o077) === 0) return;
  const octal = (mode & 0o777).toString(8).padStart(4, '0');
  throw new CocosError(
    'KEY_FILE_PERMISSIONS',
    `The key file ${file} has mode ${octal}, so other users have access to it. Run: chmod 600 ${file}`,
  );
}

/** The first line of a file; undefined when no file is named. @throws CocosError FILE_NOT_FOUND, FILE_UNREADABLE */
export async function optionalPassphrase(file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined;
  const text = (await readInput(file)).toString('utf8');
  return text.split('\n', 1)[0] ?? '';
}
