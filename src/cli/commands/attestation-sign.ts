import type { Command } from 'commander';
import { earClaims, signEar, verifyEar } from '../../attestation/appraisal/ear.ts';
import type { Verdict } from '../../attestation/appraisal/verdict.ts';
import { referenceToCorim } from '../../attestation/corim/reference-corim.ts';
import { parsePolicy } from '../../attestation/policy/policy.ts';
import { parseReferenceValues } from '../../attestation/policy/reference.ts';
import { signPolicy } from '../../attestation/policy/signed-policy.ts';
import { attestationCrypto } from '../../crypto/attestation-crypto.ts';
import { canonicalDigest } from '../../crypto/digest.ts';
import { encodeSigningKey, parseSigningKey } from '../../crypto/keys.ts';
import { sign } from '../../crypto/signing.ts';
import { VERSION } from '../../version.ts';
import type { CommandContext } from '../command-context.ts';
import { readInput, readJson, writeNew } from '../files.ts';
import { readKeys } from '../global-options.ts';
import { readEvidence } from '../trust/evidence-files.ts';

/** What a party signs about appraisal: its policy and its verdicts; and reference values in the form of other tools. */

interface KeyOptions {
  readonly key: string;
  readonly passphraseFile?: string | undefined;
}

async function signerOf({ key, passphraseFile }: KeyOptions) {
  const { keys } = await readKeys(key, passphraseFile);
  const { publicKey, secretKey } = keys.signing;
  return { name: encodeSigningKey(publicKey), signer: (message: Uint8Array) => sign(message, secretKey) };
}

/** Writes a verdict as an attestation result (EAR) in a signed token. */
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

function addSignPolicy(parent: Command, { output }: CommandContext): void {
  parent
    .command('sign-policy')
    .description('sign an appraisal policy')
    .argument('<policy>')
    .requiredOption('--key <file>', 'your private key')
    .requiredOption('--out <file>', 'where the signed policy goes')
    .option('--passphrase-file <file>', 'opens a sealed private key')
    .action(async (file: string, options: KeyOptions & { readonly out: string }) => {
      const json = await readJson(file);
      parsePolicy(json);
      const { name, signer } = await signerOf(options);
      const envelope = signPolicy(await readInput(file), name, signer);
      await writeNew(options.out, `${JSON.stringify(envelope, null, 2)}\n`);
      const digest = canonicalDigest(json);
      output.result(`signed by ${name}\npolicy ${digest}\nwrote ${options.out}`, {
        file: options.out,
        key: name,
        digest,
      });
    });
}

function addVerifyEar(parent: Command, { output }: CommandContext): void {
  parent
    .command('verify-ear')
    .description('verify an attestation result (EAR) and show it')
    .argument('<file>')
    .requiredOption('--key <key>', 'who must have signed it, ed25519:…')
    .action(async (file: string, options: { readonly key: string }) => {
      const token = Buffer.from(await readEvidence(file))
        .toString('latin1')
        .trim();
      const claims = verifyEar(token, parseSigningKey(options.key), attestationCrypto);
      output.result(JSON.stringify(claims, null, 2), claims);
    });
}

function addCorim(parent: Command, { output }: CommandContext): void {
  parent
    .command('corim')
    .description('write reference values as a CoRIM')
    .argument('<reference>')
    .requiredOption('--out <file>', 'where it goes')
    .action(async (file: string, options: { readonly out: string }) => {
      const bytes = referenceToCorim(parseReferenceValues(await readJson(file)));
      await writeNew(options.out, bytes);
      output.result(`wrote ${options.out}, ${bytes.length} bytes`, { file: options.out, size: bytes.length });
    });
}

export function addSignCommands(parent: Command, context: CommandContext): void {
  addSignPolicy(parent, context);
  addVerifyEar(parent, context);
  addCorim(parent, context);
}
