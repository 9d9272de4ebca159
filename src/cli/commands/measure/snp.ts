import { measureSev, measureSevEs, measureSvsm } from '../../../attestation/measure/other-modes.ts';
import { firmwareState, measureVm } from '../../../attestation/measure/snp.ts';
import { VMMS } from '../../../attestation/measure/vmsa.ts';
import { attestationCrypto as hashes } from '../../../crypto/attestation-crypto.ts';
import { CocosError } from '../../../errors.ts';
import type { CommandContext } from '../../command-context.ts';
import { readEvidence } from '../../trust/evidence-files.ts';

const MODES = ['snp', 'snp:svsm', 'seves', 'sev'] as const;
const MAX_VCPUS = 512;

interface Options {
  readonly ovmf: string;
  readonly kernel?: string;
  readonly initrd?: string;
  readonly append?: string;
  readonly vcpus: string;
  readonly vcpuType?: string;
  readonly vcpuSig?: string;
  readonly vmm: string;
  readonly guestFeatures: string;
  readonly mode: string;
  readonly svsm?: string;
  readonly varsSize: string;
}

export async function run(context: CommandContext, options: Options): Promise<void> {
  const digest = Buffer.from(await measure(options)).toString('hex');
  context.output.result(digest, { mode: options.mode, digest });
}

async function measure(options: Options): Promise<Uint8Array> {
  const mode = MODES.find((each) => each === options.mode);
  if (mode === undefined) {
    throw new CocosError(
      'USAGE',
      `Invalid value '${options.mode}' for --mode: expected ${MODES.join(', ')}.`,
    );
  }
  const vcpus = parseNumber(options.vcpus, '--vcpus', 1, MAX_VCPUS);
  const vcpuType = vcpuTypeOf(options);
  const vmm = VMMS.find((each) => each === options.vmm);
  if (vmm === undefined)
    throw new CocosError('USAGE', `Invalid value '${options.vmm}' for --vmm: expected ${VMMS.join(', ')}.`);
  if (vmm !== 'qemu' && mode !== 'snp') throw new CocosError('USAGE', `--vmm ${vmm} requires --mode snp.`);
  // Hex digits, with or without 0x.
  const features = `0x${options.guestFeatures.replace(/^0x/, '')}`;
  const guestFeatures = parseNumber(features, '--guest-features', 0, 0xffff_ffff);
  const firmware = await readEvidence(options.ovmf);
  const kernel = await kernelOf(options);
  switch (mode) {
    case 'snp': {
      const { state, layout } = firmwareState(firmware, hashes, vmm);
      if (layout === undefined) {
        throw new CocosError(
          'MEASURE_UNSUPPORTED',
          `${options.ovmf} is not SEV-SNP firmware: it has neither SEV metadata nor a reset block.`,
        );
      }
      const none = { kernel: null, initrd: null, commandLine: '' };
      return measureVm(
        { firmware: { digest: state, layout }, ...(kernel ?? none), vcpus, vcpuType, guestFeatures, vmm },
        hashes,
      );
    }
    case 'snp:svsm': {
      if (options.svsm === undefined) throw new CocosError('USAGE', '--mode snp:svsm requires --svsm.');
      if (kernel !== null) {
        throw new CocosError(
          'USAGE',
          '--kernel has no effect in --mode snp:svsm: its launch measures no kernel.',
        );
      }
      const svsm = await readEvidence(options.svsm);
      const variablesBytes = parseNumber(options.varsSize, '--vars-size', 0, 64 * 1024 * 1024);
      return measureSvsm({ firmware, svsm, variablesBytes, vcpus, vcpuType }, hashes);
    }
    case 'seves':
      return measureSevEs({ firmware, kernel, vcpus, vcpuType }, hashes);
    case 'sev':
      return measureSev({ firmware, kernel }, hashes);
  }
}

/** The model of the vCPUs, or its signature; exactly one of them. */
function vcpuTypeOf({ vcpuType, vcpuSig }: Options): string | number {
  if (vcpuSig === undefined && vcpuType !== undefined) return vcpuType;
  if (vcpuSig === undefined || vcpuType !== undefined)
    throw new CocosError('USAGE', 'Exactly one of --vcpu-type and --vcpu-sig is required.');
  return parseNumber(vcpuSig, '--vcpu-sig', 1, 0xffff_ffff);
}

/** Digests of kernel and initrd; null without a kernel. */
async function kernelOf({ kernel, initrd, append }: Options) {
  if (kernel === undefined) {
    if (initrd === undefined && append === undefined) return null;
    throw new CocosError('USAGE', '--initrd and --append require --kernel.');
  }
  const hex = async (file: string) => Buffer.from(hashes.sha256(await readEvidence(file))).toString('hex');
  return {
    kernel: await hex(kernel),
    initrd: initrd === undefined ? null : await hex(initrd),
    commandLine: append ?? '',
  };
}

function parseNumber(text: string, flag: string, least: number, most: number): number {
  const value = /^(?:0x[0-9a-fA-F]+|\d+)$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw new CocosError(
    'USAGE',
    `Invalid value '${text}' for ${flag}: expected a whole number from ${least} to ${most}.`,
  );
}
