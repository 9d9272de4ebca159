import { createHash, X509Certificate } from 'node:crypto';
import { Command } from 'commander';
import { appraise } from '../../attestation/appraisal/appraise.ts';
import { parsePolicy } from '../../attestation/policy/policy.ts';
import { attestationCrypto } from '../../crypto/attestation-crypto.ts';
import { toBase64Url } from '../../crypto/bytes.ts';
import { canonicalDigest } from '../../crypto/digest.ts';
import { CocosError } from '../../errors.ts';
import type { Manifest } from '../../machines/manifest.ts';
import type { CommandContext } from '../command-context.ts';
import { readInput, writeNew } from '../files.ts';
import { readManifest } from '../global-options.ts';
import { AgentClient } from '../transfer/agent-client.ts';
import { parseNonce, parseTime } from '../trust/attestation-options.ts';
import { readEvidence } from '../trust/evidence-files.ts';
import { relayOf } from '../trust/relay-address.ts';
import { pinnedPolicy, readTrust, type TrustOptions } from '../trust/trust.ts';
import { collateralCommands } from './attestation-collateral.ts';
import { addInspectCommands } from './attestation-inspect.ts';
import { addSignCommands, writeEar } from './attestation-sign.ts';
import { addVerifyCommands, showVerdict } from './attestation-verify.ts';
import { addWatchCommand } from './attestation-watch.ts';

interface VerifyOptions extends TrustOptions {
  readonly nonce?: string;
  readonly nonceIssued?: string;
  readonly at?: string;
  readonly manifest?: string;
  readonly ear?: string;
  readonly earKey?: string;
  readonly passphraseFile?: string;
}

async function verify(file: string, options: VerifyOptions, context: CommandContext): Promise<void> {
  const nonce = options.nonce === undefined ? undefined : parseNonce(options.nonce);
  const at = parseTime(options.at);
  if ((options.ear === undefined) !== (options.earKey === undefined)) {
    throw new CocosError('USAGE', '--ear and --ear-key go together.');
  }
  const evidence = await readEvidence(file);
  const trust = await readTrust(options, context.environment);
  const manifest: Manifest | undefined =
    options.manifest === undefined ? undefined : await readManifest(options.manifest);
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

function addGet(attestation: Command, { output, withManager }: CommandContext): void {
  attestation
    .command('get')
    .description('challenge an enclave and keep its evidence')
    .argument('<enclave>')
    .requiredOption('--nonce <hex>', '32 bytes that only you could have chosen')
    .requiredOption('--out <file>', 'where the evidence goes')
    .action((enclave: string, options: { readonly nonce: string; readonly out: string }, command: Command) =>
      withManager(command, async (client) => {
        const agent = new AgentClient(await relayOf(client, enclave));
        try {
          const evidence = await agent.evidence(parseNonce(options.nonce));
          await writeNew(options.out, evidence);
          output.result(`wrote ${options.out}, ${evidence.length} bytes`, {
            file: options.out,
            size: evidence.length,
          });
        } finally {
          agent.close();
        }
      }),
    );
}

function addVerify(attestation: Command, context: CommandContext): void {
  attestation
    .command('verify')
    .description('appraise evidence offline: exit 0 accepted, 2 rejected')
    .argument('<file>')
    .requiredOption('--policy <file>', 'appraisal policy, JSON, plain or signed')
    .requiredOption('--reference <file>', 'reference values of the image, JSON or CoRIM')
    .option('--collateral <dir>', "vendors' certificates, revocation lists and TCB information")
    .option('--nonce <hex>', 'the nonce of your challenge; without it nothing says how old the evidence is')
    .option('--nonce-issued <time>', 'when you made the nonce, for a policy that limits its age')
    .option('--at <time>', 'judge as of this time, ISO 8601; now when left out')
    .option('--manifest <file>', 'the manifest that the enclave must hold')
    .option('--policy-key <key>', 'who must have signed the policy, ed25519:…')
    .option('--ear <file>', 'where an attestation result for other systems (EAR, a signed token) goes')
    .option('--ear-key <file>', 'private key that signs it')
    .option('--passphrase-file <file>', 'opens a sealed private key')
    .action((file: string, options: VerifyOptions) => verify(file, options, context));
}

function addPolicy(attestation: Command, { output, withManager }: CommandContext): void {
  attestation
    .command('policy')
    .description('write a policy that accepts the emulated platform of one host, and nothing else')
    .option(
      '--emulated-root <file>',
      'certificate of the development root, PEM; the manager is asked when left out',
    )
    .requiredOption('--out <file>', 'where the policy goes')
    .action(async (options: { readonly emulatedRoot?: string; readonly out: string }, command: Command) => {
      const pem =
        options.emulatedRoot === undefined
          ? await withManager(command, async (client) => (await client.host()).emulatedRootPem)
          : (await readInput(options.emulatedRoot)).toString('utf8');
      const policy = { version: 1, platforms: ['emulated'], emulatedRoot: rootDigest(pem) };
      parsePolicy(policy);
      await writeNew(options.out, `${JSON.stringify(policy, null, 2)}\n`);
      const digest = canonicalDigest(policy);
      output.result(
        `EMULATED platforms under ${policy.emulatedRoot} will be accepted\nwrote ${options.out}`,
        { file: options.out, digest, policy },
      );
    });
}

export function attestationCommands(context: CommandContext): Command {
  const attestation = new Command('attestation').description('evidence of enclaves and its appraisal');
  addGet(attestation, context);
  addVerify(attestation, context);
  addWatchCommand(attestation, context);
  addVerifyCommands(attestation, context);
  addInspectCommands(attestation, context);
  addPolicy(attestation, context);
  addSignCommands(attestation, context);
  attestation.addCommand(collateralCommands(context));
  return attestation;
}

function rootDigest(pem: string): string {
  try {
    return `sha256:${createHash('sha256').update(new X509Certificate(pem).raw).digest('hex')}`;
  } catch (cause) {
    throw new CocosError('FILE_UNREADABLE', 'The root certificate is not PEM.', { cause });
  }
}
