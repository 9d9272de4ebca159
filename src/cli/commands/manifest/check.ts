import { canonicalDigest } from '../../../crypto/digest.ts';
import { keyFingerprint } from '../../../crypto/keys.ts';
import { CocosError } from '../../../errors.ts';
import type { Manifest } from '../../../machines/manifest.ts';
import type { CommandContext } from '../../command-context.ts';
import { readPublicKeys } from '../../key-files.ts';
import { readManifest } from '../../manifest-file.ts';

interface Options {
  readonly key: string;
}

interface Party {
  readonly name: string;
  readonly signing: string;
  readonly kem: string;
}

export async function run({ output }: CommandContext, { key }: Options, file: string): Promise<void> {
  const manifest = await readManifest(file);
  const me = await readPublicKeys(key);
  const roles = rolesOf(manifest, me);
  requireNamed(manifest, me, roles, { file, key });
  const sentences = [
    `Manifest ${canonicalDigest(manifest)}, computation ${JSON.stringify(manifest.name)} with the id ${manifest.id}.`,
    `You are ${JSON.stringify(me.name)}, fingerprint ${keyFingerprint(me)}.`,
    ...inputs(manifest, me),
    ...recipients(manifest, me),
    ...control(manifest, me),
    ...limits(manifest),
  ];
  output.result(sentences, { digest: canonicalDigest(manifest), roles, sentences });
}

function rolesOf(manifest: Manifest, { signing }: Party): string[] {
  const roles: [string, boolean][] = [
    ['algorithm', manifest.algorithm.provider === signing],
    ...manifest.datasets.map(({ name, provider }): [string, boolean] => [
      `dataset ${name}`,
      provider === signing,
    ]),
    ['consumer', manifest.consumers.some((consumer) => consumer.signing === signing)],
    ['start', manifest.start !== 'auto' && manifest.start.includes(signing)],
    ['stop', manifest.stop.includes(signing)],
  ];
  return roles.filter(([, holds]) => holds).map(([role]) => role);
}

/** @throws CocosError KEY_NOT_IN_MANIFEST, also if the result would be sealed to a key that this party does not have */
function requireNamed(
  manifest: Manifest,
  me: Party,
  roles: readonly string[],
  { file, key }: { readonly file: string; readonly key: string },
): void {
  if (roles.length === 0) {
    throw new CocosError(
      'KEY_NOT_IN_MANIFEST',
      `The manifest ${file} gives no role to the key ${me.signing} in ${key}. Do not agree to it as this party.`,
    );
  }
  const consumer = manifest.consumers.find(({ signing }) => signing === me.signing);
  if (consumer !== undefined && consumer.kem !== me.kem) {
    throw new CocosError(
      'KEY_NOT_IN_MANIFEST',
      `The manifest ${file} seals the result for you to a KEM key that is not the one in ${key}: somebody else could open it, and you could not. Do not agree to it.`,
    );
  }
}

function inputs({ algorithm, datasets }: Manifest, me: Party): string[] {
  const by = (provider: string) => (provider === me.signing ? 'You provide' : `${provider} provides`);
  const given =
    algorithm.arguments.length === 0
      ? 'without arguments'
      : `with the arguments ${algorithm.arguments.map((text) => JSON.stringify(text)).join(' ')}`;
  return [
    `${by(algorithm.provider)} the algorithm: ${algorithm.kind}, ${algorithm.digest}. It runs ${given}.`,
    ...datasets.map(
      ({ name, kind, digest, provider }) =>
        `${by(provider)} the dataset ${name}, ${kind === undefined ? 'a file' : 'a directory'}: ${digest}.`,
    ),
    datasets.length === 0
      ? 'The algorithm reads no dataset.'
      : 'The algorithm reads all datasets. Nobody else receives them from the enclave.',
  ];
}

function recipients({ consumers }: Manifest, me: Party): string[] {
  const receives = consumers.some(({ signing }) => signing === me.signing);
  const others = consumers.filter(({ signing }) => signing !== me.signing);
  return [
    receives ? 'You receive the result, sealed to your keys.' : 'You do not receive the result.',
    others.length === 0
      ? 'Nobody else receives the result.'
      : `${others.length} other ${others.length === 1 ? 'party receives' : 'parties receive'} the result, which contains whatever the algorithm writes into it:`,
    ...others.map((consumer) => `  ${consumer.signing}, fingerprint ${keyFingerprint(consumer)}`),
  ];
}

function control({ start, stop, datasets, policyDigest }: Manifest, me: Party): string[] {
  const parties = (keys: readonly string[]) =>
    keys.map((key) => (key === me.signing ? 'you' : key)).join(', ');
  const inputCount = datasets.length + 1;
  return [
    start === 'auto'
      ? `The run starts automatically when ${inputCount === 1 ? 'the algorithm is' : `all ${inputCount} inputs are`} uploaded.`
      : `The run starts when one of these parties starts it: ${parties(start)}.`,
    stop.length === 0
      ? 'No party may stop the computation. The host can end the enclave at any time.'
      : `These parties may stop the computation: ${parties(stop)}. The host can end the enclave at any time.`,
    policyDigest === undefined
      ? 'The manifest pins no appraisal policy: each party appraises the enclave by its own.'
      : `All parties must appraise the enclave by the policy ${policyDigest}.`,
  ];
}

function limits({ limits: limit }: Manifest): string[] {
  const optional = [
    limit.inputMiB === undefined ? null : `all inputs together to ${limit.inputMiB} MiB`,
    limit.participantMiB === undefined ? null : `the inputs of one party to ${limit.participantMiB} MiB`,
    `the concurrent uploads of one party to ${limit.participantTransfers ?? '16, the default'}`,
  ].filter((each) => each !== null);
  return [
    `The run is limited to ${limit.seconds} seconds, ${limit.memoryMiB} MiB of memory, ${limit.diskMiB} MiB of disk and ${limit.processes} processes.`,
    `The manifest limits ${optional.join(', ')}.`,
  ];
}
