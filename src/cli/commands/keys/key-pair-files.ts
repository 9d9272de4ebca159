import { rm } from 'node:fs/promises';
import path from 'node:path';
import { encodePrivateKeyFile, encodePublicKeyFile } from '../../../crypto/key-file.ts';
import {
  encodeKemKey,
  encodeSigningKey,
  keyFingerprint,
  type ParticipantKeys,
} from '../../../crypto/keys.ts';
import { CocosError } from '../../../errors.ts';
import { writeNew } from '../../files.ts';

/** @throws CocosError USAGE */
export function requireName(name: string): void {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name)) return;
  throw new CocosError(
    'USAGE',
    `Invalid key name '${name}': use 1 to 64 letters, digits, '.', '_' or '-', starting with a letter or digit.`,
  );
}

/** Writes both files of a key pair, or neither. @throws CocosError FILE_EXISTS */
export async function writeKeys(
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
  const signing = encodeSigningKey(keys.signing.publicKey);
  const fingerprint = keyFingerprint({ signing, kem: encodeKemKey(keys.kem) });
  return { name, signing, fingerprint, privateFile, publicFile };
}
