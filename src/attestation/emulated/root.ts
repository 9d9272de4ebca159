import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPair,
  type KeyObject,
  randomBytes,
  X509Certificate,
} from 'node:crypto';
import { promisify } from 'node:util';
import { z } from 'zod';
import { CocosError } from '../../errors.ts';
import { PRODUCTS } from '../snp/products.ts';
import { authorityExtensions, issueCertificate } from './issue.ts';

/**
 * The development root: the two CAs (ARK and ASK) of an emulated platform, created on the host that uses it. It proves
 * nothing about hardware; a policy must pin its digest to accept its signatures.
 */

const DAY_MS = 86_400_000;
const ROOT_DAYS = 20 * 365;
const RSA_BITS = 4096;

export interface Authority {
  readonly name: string;
  /** DER. */
  readonly certificate: Uint8Array;
  readonly key: KeyObject;
}

export interface DevelopmentRoot {
  readonly ark: Authority;
  readonly ask: Authority;
}

const ARK_NAME = `ARK-${PRODUCTS.emulated.authority}`;
const ASK_NAME = `SEV-${PRODUCTS.emulated.authority}`;

const AuthorityJson = z.strictObject({
  certificate: z.string().max(16_384),
  privateKey: z.string().max(16_384),
});
const DevelopmentRootJson = z.strictObject({ version: z.literal(1), ark: AuthorityJson, ask: AuthorityJson });
/** PEM texts. Contains private keys, so a file with it must have mode 0600. */
export type DevelopmentRootJson = z.infer<typeof DevelopmentRootJson>;

const generate = promisify(generateKeyPair);

/**
 * Creates a new development root. Its two RSA-4096 keys take seconds.
 *
 * @param options.now milliseconds since 1970; certificates are valid from a day before, for twenty years.
 */
export async function createDevelopmentRoot(options: { now: number }): Promise<DevelopmentRoot> {
  const rsa = { modulusLength: RSA_BITS, publicExponent: 65_537 };
  const [arkKeys, askKeys] = await Promise.all([generate('rsa', rsa), generate('rsa', rsa)]);
  const common = {
    issuer: ARK_NAME,
    issuerKey: arkKeys.privateKey,
    notBefore: options.now - DAY_MS,
    notAfter: options.now + ROOT_DAYS * DAY_MS,
  };
  const ark = issueCertificate({
    ...common,
    subject: ARK_NAME,
    serial: randomBytes(16),
    publicKey: arkKeys.publicKey,
    extensions: authorityExtensions(),
  });
  const ask = issueCertificate({
    ...common,
    subject: ASK_NAME,
    serial: randomBytes(16),
    publicKey: askKeys.publicKey,
    extensions: authorityExtensions(0),
  });
  return {
    ark: { name: ARK_NAME, certificate: ark, key: arkKeys.privateKey },
    ask: { name: ASK_NAME, certificate: ask, key: askKeys.privateKey },
  };
}

/** Digest of the root certificate as a policy pins it: `sha256:` and hex. */
export function developmentRootDigest(root: DevelopmentRoot): string {
  return `sha256:${createHash('sha256').update(root.ark.certificate).digest('hex')}`;
}

/** The root as JSON with PEM texts, private keys included. */
export function exportDevelopmentRoot(root: DevelopmentRoot): DevelopmentRootJson {
  const authority = (a: Authority) => ({
    certificate: new X509Certificate(a.certificate).toString(),
    privateKey: a.key.export({ format: 'pem', type: 'pkcs8' }).toString(),
  });
  return { version: 1, ark: authority(root.ark), ask: authority(root.ask) };
}

function importAuthority(json: z.infer<typeof AuthorityJson>, name: string): Authority {
  const certificate = new X509Certificate(json.certificate);
  const key = createPrivateKey(json.privateKey);
  if (!certificate.publicKey.equals(createPublicKey(key)) || !certificate.subject.includes(`CN=${name}`)) {
    throw new CocosError('KEY_FILE_INVALID', `the certificate of ${name} does not belong to its key`);
  }
  return { name, certificate: new Uint8Array(certificate.raw), key };
}

/**
 * Restores a root from the JSON of `exportDevelopmentRoot`.
 *
 * @throws CocosError KEY_FILE_INVALID
 */
export function importDevelopmentRoot(json: unknown): DevelopmentRoot {
  const parsed = DevelopmentRootJson.safeParse(json);
  if (!parsed.success) {
    throw new CocosError('KEY_FILE_INVALID', 'not a development root', { cause: parsed.error });
  }
  try {
    return {
      ark: importAuthority(parsed.data.ark, ARK_NAME),
      ask: importAuthority(parsed.data.ask, ASK_NAME),
    };
  } catch (thrown) {
    throw CocosError.from(thrown, 'KEY_FILE_INVALID');
  }
}
