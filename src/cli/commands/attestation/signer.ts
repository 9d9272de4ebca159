import { earClaims, signEar } from '../../../attestation/appraisal/ear.ts';
import type { Verdict } from '../../../attestation/appraisal/verdict.ts';
import { encodeSigningKey } from '../../../crypto/keys.ts';
import { sign } from '../../../crypto/signing.ts';
import { VERSION } from '../../../version.ts';
import { writeNew } from '../../files.ts';
import { readKeys } from '../../key-files.ts';

/** Signatures of a party over appraisal policies and attestation results. */

export interface KeyOptions {
  readonly key: string;
  readonly passphraseFile?: string | undefined;
}

export async function signerOf({ key, passphraseFile }: KeyOptions) {
  const { keys } = await readKeys(key, passphraseFile);
  const { publicKey, secretKey } = keys.signing;
  return { name: encodeSigningKey(publicKey), signer: (message: Uint8Array) => sign(message, secretKey) };
}

/** Writes a verdict as a signed attestation result (EAR). */
export async function writeEar(
  verdict: Verdict,
  policyDigest: string,
  nonce: string | undefined,
  options: KeyOptions & { readonly file: string },
): Promise<void> {
  const { name, signer } = await signerOf(options);
  const claims = earClaims(verdict, { build: VERSION, policyDigest, nonce });
  await writeNew(options.file, `${signEar(claims, name, signer)}\n`);
}
