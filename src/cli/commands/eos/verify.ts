import path from 'node:path';
import { z } from 'zod';
import { onlyBuild, parseReferenceValues } from '../../../attestation/policy/reference.ts';
import { CocosError, EXIT } from '../../../errors.ts';
import type { CommandContext } from '../../command-context.ts';
import { namingFile, readJson } from '../../files.ts';
import {
  checkSums,
  imageSignature,
  predictTd,
  predictUefi,
  type SumCheck,
  substitutedPackages,
  sumsSignature,
} from '../../trust/eos-image.ts';

const BuildInfo = z.object({ isSigned: z.boolean(), rebuild: z.array(z.string().max(500)).min(1).max(16) });

interface Options {
  readonly certificate?: string;
  readonly allowUnsignedSums?: boolean;
}

export async function run(
  { output, exit }: CommandContext,
  { certificate, allowUnsignedSums }: Options,
  folder: string,
): Promise<void> {
  const sums = await checkSums(folder);
  const wrong = sums.filter(({ expected, found }) => expected !== found);
  const values = wrong.length === 0 ? await checkReferences(folder) : [];
  const stale = values.filter(({ ok }) => !ok);
  const substitutes = wrong.length === 0 ? await substitutedPackages(folder) : [];
  const { rebuild, isSigned } = await buildInfo(folder);
  const signature = await imageSignature(folder, certificate);
  const isUnsignedRight = !isSigned && certificate === undefined && signature === 'unsigned';
  const isSignatureRight = signature === 'valid' || isUnsignedRight;
  const sumsSigned = await sumsSignature(folder, certificate);
  const mayLackSums = allowUnsignedSums === true || isUnsignedRight;
  const isSumsRight = sumsSigned === 'valid' || (sumsSigned === 'unsigned' && mayLackSums);
  const accepted = wrong.length === 0 && stale.length === 0 && isSignatureRight && isSumsRight;
  const mark = (ok: boolean) => (ok ? 'ok    ' : 'wrong ');
  const lines = [
    ...wrong.map((sum) => `wrong  ${describe(sum)}`),
    ...values.map(({ name, ok }) => `${mark(ok)} ${name}`),
    `${mark(isSignatureRight)} signature of the kernel image: ${signature}`,
    `${mark(isSumsRight)} signature of SHA256SUMS: ${sumsSigned}`,
    accepted ? `accepted: all ${sums.length} files are correct` : 'rejected: do not use this image',
    ...substitutes.map((sentence) => `note: ${sentence}`),
    'To rebuild it from its sources:',
    ...rebuild.map((line) => `  ${line}`),
  ];
  const json = { accepted, files: sums, values, signature, sumsSignature: sumsSigned, substitutes, rebuild };
  output.result(lines, json);
  if (!accepted) exit(EXIT.rejected);
}

function describe({ name, expected, found }: SumCheck): string {
  if (expected === null) return `${name}: not listed in SHA256SUMS`;
  return `${name}: ${found === null ? 'missing' : `SHA-256 is ${found}, expected ${expected}`}`;
}

/** Compares the reference values with those that follow from the files beside them. */
async function checkReferences(folder: string): Promise<{ name: string; ok: boolean }[]> {
  const read = async (name: string) => {
    const file = path.join(folder, name);
    const json = await readJson(file);
    return namingFile(file, () => onlyBuild(parseReferenceValues(json)));
  };
  const [direct, uefi] = [await read('reference-values.json'), await read('reference-values-uefi.json')];
  const { tdx } = await read('reference-values-tdx.json');
  const pcrs = await predictUefi(folder, 'pcr');
  const rtmrs = await predictUefi(folder, 'rtmr');
  const sums = new Map((await checkSums(folder)).map(({ name, found }) => [name, found]));
  const vm = direct.vm;
  return [
    { name: 'kernel', ok: vm?.kernel.sha256 === sums.get('vmlinuz') },
    { name: 'initrd', ok: vm?.initrd.sha256 === sums.get('initrd.img') },
    { name: 'firmware', ok: vm?.firmware.sha256 === sums.get('bios.bin') },
    { name: 'unified kernel image', ok: uefi.vm?.kernel.sha256 === sums.get('eos.efi') },
    ...Object.entries(uefi.vtpm?.pcrs ?? {}).map(([pcr, value]) => ({
      name: `PCR ${pcr}`,
      ok: value === pcrs[pcr],
    })),
    { name: 'MRTD', ok: tdx?.mrtd === (await predictTd(folder)) },
    { name: 'RTMR 1', ok: tdx !== undefined && tdx.rtmr1 === rtmrs['1'] },
    { name: 'RTMR 2', ok: tdx !== undefined && tdx.rtmr2 === rtmrs['2'] },
  ];
}

async function buildInfo(folder: string) {
  const file = path.join(folder, 'build.json');
  const parsed = BuildInfo.safeParse(await readJson(file));
  if (parsed.success) return parsed.data;
  throw new CocosError('FILE_UNREADABLE', `${file} does not have the format that docs/eos.md describes.`);
}
