import { randomUUID } from 'node:crypto';
import { Command, Option } from 'commander';
import { canonicalDigest, canonicalJson, type DigestName } from '../../crypto/digest.ts';
import { decodePublicKeyFile } from '../../crypto/key-file.ts';
import { CocosError } from '../../errors.ts';
import { AlgorithmKind, InputDigest, Manifest } from '../../machines/manifest.ts';
import type { CommandContext } from '../command-context.ts';
import { digestFile, readInput, writeNew } from '../files.ts';
import { readManifest } from '../global-options.ts';
import { table } from '../output.ts';
import { uploadSource } from '../transfer/upload-source.ts';

interface CreateOptions {
  readonly id?: string;
  readonly name: string;
  readonly algorithm: string;
  readonly kind: string;
  readonly argument: readonly string[];
  readonly dataset: readonly string[];
  readonly consumer: readonly string[];
  readonly start: readonly string[];
  readonly stop: readonly string[];
  readonly limit: readonly string[];
  readonly hash: DigestName;
  readonly policyDigest?: string;
  readonly out: string;
}

const collect = (value: string, before: readonly string[]) => [...before, value];

export function manifestCommands({ output, withManager }: CommandContext): Command {
  const manifest = new Command('manifest').description('what the parties of a computation agree on');
  manifest
    .command('create')
    .description(
      'write a manifest; SOURCE is a file, sha256:DIGEST or sha3-256:DIGEST, KEY a public key file',
    )
    .requiredOption('--name <text>', 'name of the computation')
    .option('--id <id>', 'id of the computation; made up when left out')
    .requiredOption('--algorithm <SOURCE@KEY>', 'the algorithm and its provider')
    .addOption(
      new Option('--kind <kind>', 'how the algorithm runs').choices(AlgorithmKind.options).default('python'),
    )
    .option('--argument <text>', 'argument of the algorithm (repeat)', collect, [])
    .option('--dataset <NAME=SOURCE@KEY>', 'a dataset and its provider (repeat)', collect, [])
    .option('--consumer <KEY>', 'who may have the result (repeat)', collect, [])
    .option('--start <KEY>', 'who may start the run (repeat); it starts by itself when left out', collect, [])
    .option('--stop <KEY>', 'who may stop the computation (repeat)', collect, [])
    .option(
      '--limit <NAME=NUMBER>',
      'seconds, memoryMiB, diskMiB, processes, inputMiB, participantMiB or participantTransfers (repeat)',
      collect,
      [],
    )
    .addOption(
      new Option('--hash <name>', 'of SOURCEs that are files')
        .choices(['sha256', 'sha3-256'])
        .default('sha256'),
    )
    .option('--policy-digest <digest>', 'digest of the appraisal policy that all parties use')
    .requiredOption('--out <file>', 'where the manifest goes')
    .action(async (options: CreateOptions) => {
      const made = await createManifest(options);
      await writeNew(options.out, `${canonicalJson(made)}\n`);
      const digest = canonicalDigest(made);
      output.result(`${digest}\nwrote ${options.out}`, { digest, file: options.out });
    });
  manifest
    .command('show')
    .description('what a manifest says')
    .argument('<file>')
    .action(async (file: string) => {
      const shown = await readManifest(file);
      output.result(describe(shown), { digest: canonicalDigest(shown), manifest: shown });
    });
  manifest
    .command('digest')
    .description('the digest that all parties compare')
    .argument('<file>')
    .action(async (file: string) => {
      const digest = canonicalDigest(await readManifest(file));
      output.result(digest, { digest });
    });
  manifest
    .command('send')
    .description('deliver a manifest to an enclave that was created without one')
    .argument('<enclave>')
    .argument('<file>')
    .action((enclave: string, file: string, _: unknown, command: Command) =>
      withManager(command, async (client) => {
        const sent = await readManifest(file);
        const { address } = await client.get(enclave);
        await client.send(`${address}/computation`, { type: 'manifest.deliver', manifest: sent });
        const digest = canonicalDigest(sent);
        output.result(`the agent took the manifest ${digest}`, { digest });
      }),
    );
  return manifest;
}

async function createManifest(options: CreateOptions): Promise<Manifest> {
  const key = async (file: string) => decodePublicKeyFile((await readInput(file)).toString('utf8'));
  const signing = async (file: string) => (await key(file)).signing;
  const sourced = async (text: string) => {
    const at = text.lastIndexOf('@');
    if (at < 1) throw new CocosError('USAGE', `${text} is not SOURCE@KEY.`);
    return {
      digest: await digestOf(text.slice(0, at), options.hash),
      provider: await signing(text.slice(at + 1)),
    };
  };
  const parsed = Manifest.safeParse({
    version: 1,
    id: options.id ?? randomUUID(),
    name: options.name,
    algorithm: { kind: options.kind, arguments: options.argument, ...(await sourced(options.algorithm)) },
    datasets: await Promise.all(
      options.dataset.map(async (text) => {
        const [name, rest] = cut(text, '=');
        return { name, ...(await sourced(rest)) };
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
        const [name, number] = cut(text, '=');
        return [name, Number(number)];
      }),
    ),
    start: options.start.length === 0 ? 'auto' : await Promise.all(options.start.map(signing)),
    stop: await Promise.all(options.stop.map(signing)),
    ...(options.policyDigest === undefined ? {} : { policyDigest: options.policyDigest }),
  });
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new CocosError('MANIFEST_INVALID', `${issue?.path.join('.')}: ${issue?.message}`);
}

async function digestOf(source: string, name: DigestName): Promise<string> {
  return InputDigest.safeParse(source).success
    ? source
    : ((await uploadSource(source, name)).digest ?? (await digestFile(source, name)).digest);
}

function cut(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  if (at < 1) throw new CocosError('USAGE', `${text} is not NAME${separator}VALUE.`);
  return [text.slice(0, at), text.slice(at + 1)];
}

function describe(manifest: Manifest): string {
  const start = manifest.start === 'auto' ? 'by itself when all inputs are in' : manifest.start.join(', ');
  return table([
    ['digest', canonicalDigest(manifest)],
    ['id', manifest.id],
    ['name', manifest.name],
    [
      'algorithm',
      `${manifest.algorithm.kind} ${manifest.algorithm.digest} from ${manifest.algorithm.provider}`,
    ],
    ...manifest.datasets.map((each) => ['dataset', `${each.name} ${each.digest} from ${each.provider}`]),
    ...manifest.consumers.map((each) => ['consumer', each.signing]),
    ['starts', start],
    ['stopped by', manifest.stop.join(', ') || 'nobody but the host'],
    [
      'limits',
      `${manifest.limits.seconds} s, ${manifest.limits.memoryMiB} MiB memory, ${manifest.limits.diskMiB} MiB disk, ${manifest.limits.processes} processes`,
    ],
    ...quotaRows(manifest.limits),
  ]);
}

function quotaRows({ inputMiB, participantMiB, participantTransfers }: Manifest['limits']): string[][] {
  return [
    ['all inputs', inputMiB, 'MiB'],
    ["one participant's inputs", participantMiB, 'MiB'],
    ['uploads at once', participantTransfers, 'of one participant'],
  ].flatMap(([what, limit, unit]) => (limit === undefined ? [] : [[String(what), `${limit} ${unit}`]]));
}
