import { kemOf } from '../../../crypto/hpke.ts';
import { importSecretKey } from '../../../crypto/key-import.ts';
import { generateParticipantKeys, type ParticipantKeys } from '../../../crypto/keys.ts';
import { signingPublicKey } from '../../../crypto/signing.ts';
import type { CommandContext } from '../../command-context.ts';
import { namingFile, readInput } from '../../files.ts';
import { optionalPassphrase, requireOwnerOnly } from '../../key-files.ts';
import { requireName, writeKeys } from './key-pair-files.ts';

interface Options {
  readonly signing: string;
  readonly kem?: string;
  readonly out: string;
  readonly sourcePassphraseFile?: string;
  readonly passphraseFile?: string;
}

export async function run({ output }: CommandContext, options: Options, name: string): Promise<void> {
  requireName(name);
  const source = await optionalPassphrase(options.sourcePassphraseFile);
  const passphrase = await optionalPassphrase(options.passphraseFile);
  const secretKey = await importKey(options.signing, 'Ed25519', source);
  const kem =
    options.kem === undefined
      ? generateParticipantKeys().kem
      : x25519Pair(await importKey(options.kem, 'X25519', source));
  const pair = { signing: { secretKey, publicKey: signingPublicKey(secretKey) }, kem };
  const written = await writeKeys(name, pair, options.out, passphrase);
  output.result(
    [
      written.signing,
      `fingerprint ${written.fingerprint}`,
      `wrote ${written.privateFile} and ${written.publicFile}`,
    ],
    written,
  );
}

async function importKey(file: string, curve: 'Ed25519' | 'X25519', passphrase: string | undefined) {
  const text = (await readInput(file)).toString('utf8');
  const secretKey = namingFile(file, () => importSecretKey(text, curve, passphrase));
  // Only then: a file that is not a private key need not be hidden from other users.
  await requireOwnerOnly(file);
  return secretKey;
}

function x25519Pair(secretKey: Uint8Array): ParticipantKeys['kem'] {
  return { kem: 'x25519', secretKey, publicKey: kemOf('x25519').publicKeyOf(secretKey) };
}
