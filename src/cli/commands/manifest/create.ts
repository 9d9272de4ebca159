import { randomUUID } from 'node:crypto';
import { canonicalDigest, canonicalJson, type DigestName } from '../../../crypto/digest.ts';
import { decodePublicKeyFile } from '../../../crypto/key-file.ts';
import { CocosError } from '../../../errors.ts';
import { InputDigest, type Manifest } from '../../../machines/manifest.ts';
import type { CommandContext } from '../../command-context.ts';
import { digestFile, namingFile, readInput, writeNew } from '../../files.ts';
import { parseManifest } from '../../manifest-file.ts';
import { withAlgorithm } from '../../transfer/algorithm-source.ts';
import { datasetKindOf } from '../../transfer/dataset-source.ts';
import { uploadSource } from '../../transfer/upload-source.ts';

interface Options {
  readonly id?: string;
  readonly name: string;
  readonly algorithm: string;
  readonly kind: Manifest['algorithm']['kind'];
  readonly argument: readonly string[];
  readonly dataset: readonly string[];
  readonly consumer: readonly string[];
  readonly start: readonly string[];
  readonly stop: readonly string[];
  readonly limit: readonly string[];
  readonly disclose: readonly string[];
  readonly hash: DigestName;
  readonly policyDigest?: string;
  readonly out: string;
}

export async function run({ output }: CommandContext, options: Options): Promise<void> {
  const manifest = await createManifest(options);
  await writeNew(options.out, `${canonicalJson(manifest)}\n`);
  const digest = canonicalDigest(manifest);
  output.result([digest, `wrote ${options.out}`], { digest, file: options.out });
}

async function createManifest(options: Options): Promise<Manifest> {
  const key = async (file: string) => {
    const text = (await readInput(file)).toString('utf8');
    return namingFile(file, () => decodePublicKeyFile(text));
  };
  const signing = async (file: string) => (await key(file)).signing;
  const sourced = async <T>(text: string, describe: (source: string) => Promise<T>) => {
    const at = text.lastIndexOf('@');
    if (at < 1) throw new CocosError('USAGE', `Invalid value '${text}': expected SOURCE@KEY.`);
    return {
      ...(await describe(text.slice(0, at))),
      provider: await signing(text.slice(at + 1)),
    };
  };
  const { kind, hash } = options;
  const algorithm = await sourced(options.algorithm, (source) => describeAlgorithm(source, kind, hash));
  const manifest = {
    version: 1,
    id: options.id ?? randomUUID(),
    name: options.name,
    algorithm: { kind, arguments: options.argument, ...algorithm },
    datasets: await Promise.all(
      options.dataset.map(async (text) => {
        const [name, rest] = split(text, 'NAME=SOURCE@KEY');
        return { name, ...(await sourced(rest, (source) => describeDataset(source, hash))) };
      }),
    ),
    consumers: await Promise.all(
      options.consumer.map(async (file) => {
        const keys = await key(file);
        return { signing: keys.signing, kem: keys.kem };
      }),
    ),
    limits: Object.fromEntries(
      options.limit.map((text) => {
        const [name, number] = split(text, 'NAME=NUMBER');
        return [name, Number(number)];
      }),
    ),
    start: options.start.length === 0 ? 'auto' : await Promise.all(options.start.map(signing)),
    stop: await Promise.all(options.stop.map(signing)),
    ...(options.disclose.length === 0 ? {} : { disclosure: disclosureOf(options.disclose) }),
    ...(options.policyDigest === undefined ? {} : { policyDigest: options.policyDigest }),
  };
  return parseManifest(manifest, 'The manifest that the options describe');
}

function disclosureOf(texts: readonly string[]): Record<string, string | number> {
  return Object.fromEntries(
    texts.map((text) => {
      const [name, value] = split(text, 'NAME=VALUE');
      return [name, /^\d+$/.test(value) ? Number(value) : value];
    }),
  );
}

/** Marks a digest as that of a directory. */
const DIRECTORY = 'directory:';

async function describeDataset(
  source: string,
  hash: DigestName,
): Promise<{ readonly digest: string; readonly kind?: 'directory' }> {
  const ofDirectory = source.startsWith(DIRECTORY) ? source.slice(DIRECTORY.length) : '';
  if (InputDigest.safeParse(ofDirectory).success) return { digest: ofDirectory, kind: 'directory' };
  if (InputDigest.safeParse(source).success) return { digest: source };
  const kind = await datasetKindOf(source);
  const digest = (await uploadSource(source, hash)).digest ?? (await digestFile(source, hash)).digest;
  return kind === undefined ? { digest } : { digest, kind };
}

/** Of the bytes that `algo` sends: an archive may differ from them. */
async function describeAlgorithm(
  source: string,
  kind: Options['kind'],
  hash: DigestName,
): Promise<{ readonly digest: string }> {
  if (InputDigest.safeParse(source).success) return { digest: source };
  return withAlgorithm(source, { kind, hash }, async ({ digest }) => ({
    digest: digest ?? (await digestFile(source, hash)).digest,
  }));
}

function split(text: string, form: string): [string, string] {
  const at = text.indexOf('=');
  if (at < 1) throw new CocosError('USAGE', `Invalid value '${text}': expected ${form}.`);
  return [text.slice(0, at), text.slice(at + 1)];
}
