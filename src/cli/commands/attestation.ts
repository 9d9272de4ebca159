import { createHash, X509Certificate } from 'node:crypto';
import { Command } from 'commander';
import { appraise } from '../../attestation/appraise.ts';
import { formatVerdict, verdictToJson } from '../../attestation/format-verdict.ts';
import { parsePolicy } from '../../attestation/policy.ts';
import { attestationCrypto } from '../../crypto/attestation-crypto.ts';
import { canonicalDigest } from '../../crypto/digest.ts';
import { CocosError, EXIT } from '../../errors.ts';
import { AgentClient } from '../agent-client.ts';
import { readManifest } from '../context.ts';
import { readInput, writeNew } from '../files.ts';
import type { CommandContext } from '../program.ts';
import { relayOf } from '../relay-address.ts';
import { readTrust } from '../trust.ts';

interface VerifyOptions {
  readonly policy: string;
  readonly reference: string;
  readonly nonce: string;
  readonly at?: string;
  readonly manifest?: string;
}

export function attestationCommands(context: CommandContext): Command {
  const { output, withManager } = context;
  const attestation = new Command('attestation').description('evidence of enclaves and its appraisal');
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
  attestation
    .command('verify')
    .description('appraise evidence offline: exit 0 accepted, 2 rejected')
    .argument('<file>')
    .requiredOption('--policy <file>', 'appraisal policy, JSON')
    .requiredOption('--reference <file>', 'reference values of the image, JSON')
    .requiredOption('--nonce <hex>', 'the nonce of the challenge')
    .option('--at <time>', 'judge as of this time, ISO 8601; now when left out')
    .option('--manifest <file>', 'the manifest that the enclave must hold')
    .action(async (file: string, options: VerifyOptions) => {
      const trust = await readTrust(options.policy, options.reference);
      const verdict = appraise({
        evidence: await readInput(file),
        nonce: parseNonce(options.nonce),
        ...trust,
        at: parseTime(options.at),
        ...(options.manifest === undefined
          ? {}
          : { expectedManifestDigest: canonicalDigest(await readManifest(options.manifest)) }),
        crypto: attestationCrypto,
      });
      output.result(formatVerdict(verdict), verdictToJson(verdict));
      if (verdict.outcome !== 'accepted') context.exit(EXIT.rejected);
    });
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
        {
          file: options.out,
          digest,
          policy,
        },
      );
    });
  return attestation;
}

export function parseNonce(text: string): Uint8Array {
  if (!/^[0-9a-fA-F]{64}$/.test(text)) throw new CocosError('USAGE', 'A nonce is 64 hex digits.');
  return Buffer.from(text, 'hex');
}

function parseTime(text: string | undefined): number {
  const ms = text === undefined ? Date.now() : Date.parse(text);
  if (Number.isNaN(ms)) throw new CocosError('USAGE', `${text} is no time.`);
  return ms;
}

function rootDigest(pem: string): string {
  try {
    return `sha256:${createHash('sha256').update(new X509Certificate(pem).raw).digest('hex')}`;
  } catch (cause) {
    throw new CocosError('FILE_UNREADABLE', 'The root certificate is not PEM.', { cause });
  }
}
