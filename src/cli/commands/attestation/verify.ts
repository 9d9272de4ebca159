import { appraise } from '../../../attestation/appraisal/appraise.ts';
import { attestationCrypto } from '../../../crypto/attestation-crypto.ts';
import { toBase64Url } from '../../../crypto/bytes.ts';
import { canonicalDigest } from '../../../crypto/digest.ts';
import { CocosError } from '../../../errors.ts';
import type { CommandContext } from '../../command-context.ts';
import { readManifest } from '../../manifest-file.ts';
import { parseNonce, parseTime } from '../../trust/attestation-options.ts';
import { readEvidence } from '../../trust/evidence-files.ts';
import { pinnedPolicy, readTrust, type TrustOptions } from '../../trust/trust.ts';
import { showVerdict } from './show-verdict.ts';
import { writeEar } from './signer.ts';

interface Options extends TrustOptions {
  readonly nonce?: string;
  readonly nonceIssued?: string;
  readonly at?: string;
  readonly manifest?: string;
  readonly ear?: string;
  readonly earKey?: string;
  readonly passphraseFile?: string;
}

export async function run(context: CommandContext, options: Options, file: string): Promise<void> {
  const nonce = options.nonce === undefined ? undefined : parseNonce(options.nonce);
  const at = parseTime(options.at);
  if ((options.ear === undefined) !== (options.earKey === undefined)) {
    throw new CocosError('USAGE', '--ear and --ear-key must be given together.');
  }
  const evidence = await readEvidence(file);
  const trust = await readTrust(options, context.environment);
  const manifest = options.manifest === undefined ? undefined : await readManifest(options.manifest);
  const verdict = appraise({
    evidence,
    nonce,
    policy: trust.policy,
    reference: trust.reference,
    collateral: trust.collateral,
    nonceIssuedAt: options.nonceIssued === undefined ? undefined : parseTime(options.nonceIssued),
    at,
    expectedManifestDigest: manifest === undefined ? undefined : canonicalDigest(manifest),
    policyDigest: pinnedPolicy(manifest, trust),
    crypto: attestationCrypto,
  });
  const { ear, earKey, passphraseFile } = options;
  if (ear !== undefined && earKey !== undefined) {
    const challenge = nonce === undefined ? undefined : toBase64Url(nonce);
    await writeEar(verdict, trust.policyDigest, challenge, { file: ear, key: earKey, passphraseFile });
  }
  showVerdict(context, verdict, ['evidence.parse']);
}
