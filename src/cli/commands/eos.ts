import path from 'node:path';
import { Command } from 'commander';
import { z } from 'zod';
import { parseReferenceValues } from '../../attestation/policy/reference.ts';
import { CocosError, EXIT } from '../../errors.ts';
import type { CommandContext } from '../command-context.ts';
import { readJson } from '../files.ts';
import { table } from '../output.ts';
import {
  checkSums,
  imageSignature,
  predictLaunch,
  predictTd,
  predictUefi,
  type SumCheck,
  sumsSignature,
} from '../trust/eos-image.ts';

const Platform = z.enum(['snp', 'tdx', 'uefi', 'emulated']);
const BuildInfo = z.object({ isSigned: z.boolean(), rebuild: z.array(z.string().max(500)).min(1).max(16) });

interface VerifyOptions {
  readonly certificate?: string;
  readonly allowUnsignedSums?: boolean;
}

interface PredictOptions {
  readonly platform: string;
  readonly vcpus: string;
  readonly vcpuType: string;
}

/** `eos`: an image in a folder, judged and predicted without starting it. */
export function eosCommands({ output, exit }: CommandContext): Command {
  const eos = new Command('eos').description('guest images');
  eos
    .command('verify')
    .description(
      'check the sums of an image, its signature, that its reference values follow from its files; say how to rebuild it',
    )
    .argument('<folder>')
    .option(
      '--certificate <file>',
      'who must have signed kernel image and sums, PEM; else any that its firmware trusts',
    )
    .option('--allow-unsigned-sums', 'accept a signed image whose SHA256SUMS are not')
    .action(async (folder: string, { certificate, allowUnsignedSums }: VerifyOptions) => {
      const sums = await checkSums(folder);
      const wrong = sums.filter(({ expected, found }) => expected !== found);
      const values = wrong.length === 0 ? await checkReferences(folder) : [];
      const stale = values.filter(({ ok }) => !ok);
      const { rebuild, isSigned } = await buildInfo(folder);
      const signature = await imageSignature(folder, certificate);
      const isUnsignedRight = !isSigned && certificate === undefined && signature === 'unsigned';
      const isSignatureRight = signature === 'valid' || isUnsignedRight;
      const sumsSigned = await sumsSignature(folder, certificate);
      const mayLackSums = allowUnsignedSums === true || isUnsignedRight;
      const isSumsRight = sumsSigned === 'valid' || (sumsSigned === 'unsigned' && mayLackSums);
      const accepted = wrong.length === 0 && stale.length === 0 && isSignatureRight && isSumsRight;
      const lines = [
        ...wrong.map((sum) => `wrong  ${describe(sum)}`),
        ...values.map(({ name, ok }) => `${ok ? 'ok    ' : 'wrong '} ${name}`),
        `${isSignatureRight ? 'ok    ' : 'wrong '} signature of the kernel image: ${signature}`,
        `${isSumsRight ? 'ok    ' : 'wrong '} signature of SHA256SUMS: ${sumsSigned}`,
        accepted ? `${sums.length} files as they should be` : 'this image is not what it says',
        'To rebuild it from its sources:',
        ...rebuild.map((line) => `  ${line}`),
      ];
      output.result(lines.join('\n'), {
        accepted,
        files: sums,
        values,
        signature,
        sumsSignature: sumsSigned,
        rebuild,
      });
      if (!accepted) exit(EXIT.rejected);
    });
  eos
    .command('predict')
    .description('what an image will measure to, from its files alone')
    .argument('<folder>')
    .requiredOption('--platform <name>', 'snp, tdx, uefi or emulated')
    .option('--vcpus <n>', 'number of vCPUs', '1')
    .option('--vcpu-type <name>', 'CPU model given to QEMU', 'EPYC-v3')
    .action(async (folder: string, options: PredictOptions) => {
      const predicted = await predict(folder, options);
      output.result(table(Object.entries(predicted)), predicted);
    });
  eos
    .command('diff')
    .description('what differs between two images, by file')
    .argument('<a>')
    .argument('<b>')
    .action(async (a: string, b: string) => {
      const [before, after] = [await checkSums(a), await checkSums(b)];
      const names = [...new Set([...before, ...after].map(({ name }) => name))].sort();
      const digest = (sums: readonly SumCheck[], name: string): string | null =>
        sums.find((each) => each.name === name)?.found ?? null;
      const changed = names
        .map((name) => ({ name, a: digest(before, name), b: digest(after, name) }))
        .filter((each) => each.a !== each.b);
      const text = changed.map((each) => [each.name, each.a ?? 'missing', each.b ?? 'missing']);
      output.result(changed.length === 0 ? 'the images are the same' : table(text), { changed });
      if (changed.length > 0) exit(EXIT.failed);
    });
  return eos;
}

function describe({ name, expected, found }: SumCheck): string {
  if (expected === null) return `${name}: not in SHA256SUMS`;
  return `${name}: ${found === null ? 'missing' : `SHA-256 ${found}, not ${expected}`}`;
}

async function predict(folder: string, options: PredictOptions): Promise<Record<string, string>> {
  const platform = Platform.safeParse(options.platform);
  const vcpus = Number(options.vcpus);
  if (!platform.success) throw new CocosError('USAGE', `There is no platform ${options.platform}.`);
  if (!Number.isInteger(vcpus) || vcpus < 1 || vcpus > 512) {
    throw new CocosError('USAGE', `${options.vcpus} is no number of vCPUs.`);
  }
  const shape = { vcpus, vcpuType: options.vcpuType };
  switch (platform.data) {
    case 'snp':
      return { 'launch-digest': await predictLaunch(folder, 'ovmf-amdsev.fd', shape) };
    case 'emulated':
      return { 'launch-digest': await predictLaunch(folder, 'bios.bin', shape) };
    case 'uefi':
      return labelled('pcr', await predictUefi(folder, 'pcr'));
    case 'tdx':
      return { mrtd: await predictTd(folder), ...labelled('rtmr', await predictUefi(folder, 'rtmr')) };
  }
}

function labelled(prefix: string, values: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(values).map(([index, value]) => [`${prefix}${index}`, value]));
}

/** Do the reference values follow from the files beside them? */
async function checkReferences(folder: string): Promise<{ name: string; ok: boolean }[]> {
  const read = async (name: string) => parseReferenceValues(await readJson(path.join(folder, name)));
  const [direct, uefi] = [await read('reference-values.json'), await read('reference-values-uefi.json')];
  const { tdx } = await read('reference-values-tdx.json');
  const pcrs = await predictUefi(folder, 'pcr');
  const rtmrs = await predictUefi(folder, 'rtmr');
  const isOnly = (accepted: readonly string[] | undefined, value: string | undefined): boolean =>
    accepted?.length === 1 && accepted[0] === value;
  const sums = new Map((await checkSums(folder)).map(({ name, found }) => [name, found]));
  const vm = direct.vm;
  return [
    { name: 'kernel', ok: vm?.kernel.sha256 === sums.get('vmlinuz') },
    { name: 'initrd', ok: vm?.initrd.sha256 === sums.get('initrd.img') },
    { name: 'firmware', ok: vm?.firmware.sha256 === sums.get('bios.bin') },
    { name: 'unified kernel image', ok: uefi.vm?.kernel.sha256 === sums.get('eos.efi') },
    ...Object.entries(uefi.vtpm?.pcrs ?? {}).map(([pcr, accepted]) => ({
      name: `PCR ${pcr}`,
      ok: isOnly(accepted, pcrs[pcr]),
    })),
    { name: 'MRTD', ok: isOnly(tdx?.mrtd, await predictTd(folder)) },
    { name: 'RTMR 1', ok: isOnly(tdx?.rtmr1, rtmrs['1']) },
    { name: 'RTMR 2', ok: isOnly(tdx?.rtmr2, rtmrs['2']) },
  ];
}

async function buildInfo(folder: string) {
  const parsed = BuildInfo.safeParse(await readJson(path.join(folder, 'build.json')));
  if (!parsed.success)
    throw new CocosError('FILE_UNREADABLE', 'build.json does not have the documented form.');
  return parsed.data;
}
