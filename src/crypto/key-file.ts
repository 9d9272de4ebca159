import { scryptSync } from 'node:crypto';
import { z } from 'zod';
import { CocosError } from '../errors.ts';
import { AEAD_NONCE_BYTES, aeadOpen, aeadSeal } from './aead.ts';
import { concat, equal, fromBase64Url, randomBytes, toBase64Url, utf8 } from './bytes.ts';
import { canonicalJson } from './digest.ts';
import { kemOf } from './hpke.ts';
import {
  encodeKemKey,
  encodeSigningKey,
  type ParticipantKeys,
  parseKemKey,
  parseSigningKey,
} from './keys.ts';
import { SIGNING_KEY_BYTES, signingPublicKey } from './signing.ts';

/** The text of key files, without any I/O: the private file, optionally sealed by a passphrase, and the public file. */

export const PRIVATE_KEY_KIND = 'cocosai private key';
export const PUBLIC_KEY_KIND = 'cocosai public key';

/** scrypt (RFC 7914) with 128 MiB and about half a second, sufficient against a stolen file. */
const SCRYPT = { n: 2 ** 17, r: 8, p: 1 } as const;
const SALT_BYTES = 16;

const KeyName = z.string().min(1).max(200);
const PublicPart = z.strictObject({ signing: z.string().max(64), kem: z.string().max(2048) });
const Encoded = z.string().max(256);

const PrivateFile = z.strictObject({
  version: z.literal(1),
  kind: z.literal(PRIVATE_KEY_KIND),
  name: KeyName,
  created: z.string().max(64).optional(),
  public: PublicPart,
  secret: z.strictObject({ signing: Encoded, kem: Encoded }).optional(),
  sealed: z
    .strictObject({
      kdf: z.literal('scrypt'),
      // Limits on the resources that a foreign file can make this program use.
      n: z.union([
        z.literal(2 ** 14),
        z.literal(2 ** 15),
        z.literal(2 ** 16),
        z.literal(2 ** 17),
        z.literal(2 ** 18),
      ]),
      r: z.literal(8),
      p: z.int().min(1).max(4),
      salt: Encoded,
      nonce: Encoded,
      ciphertext: Encoded,
    })
    .optional(),
});
type PrivateFile = z.infer<typeof PrivateFile>;

const PublicFile = z.strictObject({
  version: z.literal(1),
  kind: z.literal(PUBLIC_KEY_KIND),
  name: KeyName,
  signing: z.string().max(64),
  kem: z.string().max(2048),
});

export interface PrivateKeyFile {
  readonly name: string;
  /** ISO 8601 text. */
  readonly created?: string | undefined;
  readonly keys: ParticipantKeys;
}

export interface PublicKeyFile {
  readonly name: string;
  /** Text form, as in a manifest. */
  readonly signing: string;
  readonly kem: string;
}

/**
 * Text of a private key file. With a passphrase the secrets are sealed with ChaCha20-Poly1305 under
 * scrypt(passphrase), bound to the name and the public keys. Write it with mode 0600.
 * @throws CocosError KEY_PASSPHRASE for an empty passphrase
 */
export function encodePrivateKeyFile(file: PrivateKeyFile, passphrase?: string): string {
  const { signing, kem } = file.keys;
  const head = {
    version: 1,
    kind: PRIVATE_KEY_KIND,
    name: file.name,
    created: file.created,
    public: { signing: encodeSigningKey(signing.publicKey), kem: encodeKemKey(kem) },
  };
  if (passphrase === undefined) {
    const secret = { signing: toBase64Url(signing.secretKey), kem: toBase64Url(kem.secretKey) };
    return toText({ ...head, secret });
  }
  if (passphrase === '') throw new CocosError('KEY_PASSPHRASE', 'The passphrase of a key file is empty.');
  const salt = randomBytes(SALT_BYTES);
  const nonce = randomBytes(AEAD_NONCE_BYTES);
  const key = deriveKey(passphrase, salt, SCRYPT);
  const secrets = concat(signing.secretKey, kem.secretKey);
  const ciphertext = aeadSeal('chacha20-poly1305', key, nonce, binding(head.name, head.public), secrets);
  const sealed = {
    kdf: 'scrypt',
    ...SCRYPT,
    salt: toBase64Url(salt),
    nonce: toBase64Url(nonce),
    ciphertext: toBase64Url(ciphertext),
  };
  return toText({ ...head, sealed });
}

/** Whether the text is a private key file that needs a passphrase. @throws CocosError KEY_FILE_INVALID */
export function isPrivateKeyFileSealed(text: string): boolean {
  return parseText(PrivateFile, text).sealed !== undefined;
}

/** The unsealed part of a private key file. @throws CocosError KEY_FILE_INVALID */
export function describePrivateKeyFile(text: string): PublicKeyFile & { readonly isSealed: boolean } {
  const { name, public: keys, sealed } = parseText(PrivateFile, text);
  return { name, ...keys, isSealed: sealed !== undefined };
}

/**
 * Keys of a private key file.
 * @throws CocosError KEY_FILE_INVALID if it is not a private key file, is damaged, or its secrets do not match its
 * public keys; KEY_PASSPHRASE if it is sealed and the passphrase is missing or wrong, or if a passphrase is given for a
 * file that is not sealed
 */
export function decodePrivateKeyFile(text: string, passphrase?: string): PrivateKeyFile {
  const file = parseText(PrivateFile, text);
  const signingPublic = invalidOnError(() => parseSigningKey(file.public.signing));
  const kemPublic = invalidOnError(() => parseKemKey(file.public.kem));
  const secrets = readSecrets(file, passphrase);
  if (secrets.length !== SIGNING_KEY_BYTES + kemOf(kemPublic.kem).secretKeyBytes) {
    throw new CocosError('KEY_FILE_INVALID', 'The key file contains secrets of the wrong length.');
  }
  const signingSecret = secrets.slice(0, SIGNING_KEY_BYTES);
  const kemSecret = secrets.slice(SIGNING_KEY_BYTES);
  if (
    !equal(signingPublicKey(signingSecret), signingPublic) ||
    !equal(kemOf(kemPublic.kem).publicKeyOf(kemSecret), kemPublic.publicKey)
  ) {
    throw new CocosError('KEY_FILE_INVALID', 'The secrets in the key file do not match its public keys.');
  }
  return {
    name: file.name,
    created: file.created,
    keys: {
      signing: { publicKey: signingPublic, secretKey: signingSecret },
      kem: { ...kemPublic, secretKey: kemSecret },
    },
  };
}

/** Text of a public key file, for the other participants. */
export function encodePublicKeyFile(name: string, keys: ParticipantKeys): string {
  return toText({
    version: 1,
    kind: PUBLIC_KEY_KIND,
    name,
    signing: encodeSigningKey(keys.signing.publicKey),
    kem: encodeKemKey(keys.kem),
  });
}

/** @throws CocosError KEY_FILE_INVALID if the text is not a public key file or a key in it is malformed */
export function decodePublicKeyFile(text: string): PublicKeyFile {
  const { name, signing, kem } = parseText(PublicFile, text);
  invalidOnError(() => parseSigningKey(signing));
  invalidOnError(() => parseKemKey(kem));
  return { name, signing, kem };
}

function readSecrets(file: PrivateFile, passphrase: string | undefined): Uint8Array {
  const decode = (text: string) => fromBase64Url(text, 'the key file', 'KEY_FILE_INVALID');
  if (file.secret !== undefined && file.sealed === undefined) {
    // Somebody who replaced a sealed file by another one does not know its passphrase.
    if (passphrase !== undefined) {
      throw new CocosError(
        'KEY_PASSPHRASE',
        'The key file is not sealed, although a passphrase was given. If it is yours, omit the passphrase.',
      );
    }
    return concat(decode(file.secret.signing), decode(file.secret.kem));
  }
  if (file.sealed === undefined || file.secret !== undefined) {
    throw new CocosError(
      'KEY_FILE_INVALID',
      "A private key file has either the field 'secret' or the field 'sealed'.",
    );
  }
  if (passphrase === undefined)
    throw new CocosError('KEY_PASSPHRASE', 'The key file is sealed; give its passphrase.');
  const nonce = decode(file.sealed.nonce);
  const ciphertext = decode(file.sealed.ciphertext);
  if (nonce.length !== AEAD_NONCE_BYTES) {
    throw new CocosError('KEY_FILE_INVALID', 'The key file contains a nonce of the wrong length.');
  }
  const key = deriveKey(passphrase, decode(file.sealed.salt), file.sealed);
  try {
    return aeadOpen('chacha20-poly1305', key, nonce, binding(file.name, file.public), ciphertext);
  } catch (cause) {
    throw new CocosError('KEY_PASSPHRASE', 'The passphrase is wrong, or the key file was altered.', {
      cause,
    });
  }
}

function deriveKey(
  passphrase: string,
  salt: Uint8Array,
  cost: { n: number; r: number; p: number },
): Uint8Array {
  // Normalized, since another system may compose the characters of the same passphrase differently.
  const options = { N: cost.n, r: cost.r, p: cost.p, maxmem: 256 * cost.n * cost.r };
  return new Uint8Array(scryptSync(passphrase.normalize('NFKC'), salt, 32, options));
}

function binding(name: string, publicKeys: { signing: string; kem: string }): Uint8Array {
  return utf8(canonicalJson({ version: 1, kind: PRIVATE_KEY_KIND, name, public: publicKeys }));
}

function toText(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

function parseText<T>(schema: z.ZodType<T>, text: string): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new CocosError('KEY_FILE_INVALID', 'The key file is not JSON.', { cause });
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  // Only the paths: the values may be secrets.
  const where = parsed.error.issues.map((issue) => issue.path.join('.') || 'the file').join(', ');
  throw new CocosError(
    'KEY_FILE_INVALID',
    `The key file does not have the documented format; see the fields ${where}.`,
  );
}

function invalidOnError<T>(run: () => T): T {
  try {
    return run();
  } catch (cause) {
    throw new CocosError('KEY_FILE_INVALID', 'A public key in the key file is malformed.', { cause });
  }
}
