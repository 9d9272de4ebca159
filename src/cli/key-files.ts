import { open, stat } from 'node:fs/promises';
import {
  decodePrivateKeyFile,
  decodePublicKeyFile,
  describePrivateKeyFile,
  isPrivateKeyFileSealed,
  PRIVATE_KEY_KIND,
  PUBLIC_KEY_KIND,
  type PublicKeyFile,
} from '../crypto/key-file.ts';
import { CocosError } from '../errors.ts';
import { namingFile, readInput, unreadable } from './files.ts';

/** Reads a private key file. @throws CocosError KEY_FILE_PERMISSIONS, KEY_FILE_INVALID, KEY_PASSPHRASE */
export async function readKeys(file: string, passphraseFile: string | undefined) {
  const text = (await readInput(file)).toString('utf8');
  // Before its mode: a wrong file must be named as such, and need not be hidden from other users.
  requirePrivateKey(file, text);
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

/** @throws CocosError KEY_FILE_INVALID saying what kind of file it is instead */
function requirePrivateKey(file: string, text: string): void {
  if (text.includes(PUBLIC_KEY_KIND)) {
    throw new CocosError(
      'KEY_FILE_INVALID',
      `${file} is a public key file. Name the private key file of the same pair, which ends in .key.`,
    );
  }
  if (!text.includes(PRIVATE_KEY_KIND)) {
    throw new CocosError(
      'KEY_FILE_INVALID',
      `${file} is not a key file. Create a key pair with: cocos-cli keys generate NAME`,
    );
  }
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

/** @throws CocosError KEY_FILE_PERMISSIONS when anyone but the owner has access to the file */
export async function requireOwnerOnly(file: string): Promise<void> {
  const { mode } = await stat(file);
  requireOwnerMode(`The key file ${file}`, file, mode);
}

function requireOwnerMode(what: string, file: string, mode: number): void {
  if ((mode & 0o077) === 0) return;
  const octal = (mode & 0o777).toString(8).padStart(4, '0');
  throw new CocosError(
    'KEY_FILE_PERMISSIONS',
    `${what} has mode ${octal}, so other users have access to it. Run: chmod 600 ${file}`,
  );
}

/**
 * The first line of a file; undefined when no file is named.
 *
 * @throws CocosError FILE_NOT_FOUND, FILE_UNREADABLE; KEY_FILE_PERMISSIONS when anyone but the owner has access to it;
 * KEY_PASSPHRASE when the line is empty, since it would seal a key under no secret
 */
export async function optionalPassphrase(file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined;
  const passphrase = (await readPassphraseFile(file)).split('\n', 1)[0] ?? '';
  if (passphrase.trim() === '') {
    throw new CocosError(
      'KEY_PASSPHRASE',
      `The first line of ${file} is empty. Write the passphrase into the first line of the file.`,
    );
  }
  return passphrase;
}

/** The mode is that of the opened file, which another user cannot exchange in between. A pipe works too. */
async function readPassphraseFile(file: string): Promise<string> {
  const handle = await open(file).catch((cause: unknown) => {
    throw unreadable(file, cause);
  });
  try {
    requireOwnerMode(`The passphrase file ${file}`, file, (await handle.stat()).mode);
    return await handle.readFile('utf8').catch((cause: unknown) => {
      throw unreadable(file, cause);
    });
  } finally {
    await handle.close();
  }
}
