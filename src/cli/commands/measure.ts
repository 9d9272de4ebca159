import { Command } from 'commander';
import { measureSev, measureSevEs, measureSvsm } from '../../attestation/measure/other-modes.ts';
import { firmwareState, measureVm } from '../../attestation/measure/snp.ts';
import { attestationCrypto as hashes } from '../../crypto/attestation-crypto.ts';
import { CocosError } from '../../errors.ts';
import type { CommandContext } from '../command-context.ts';
import { readEvidence } from '../trust/evidence-files.ts';

/** `measure snp`: the launch digest that a guest with these parts will have. */

const MODES = ['snp', 'snp:svsm', 'seves', 'sev'] as const;
const DEFAULT_FEATURES = '0x1';

interface Options {
  readonly ovmf: string;
  readonly kernel?: string;
  readonly initrd?: string;
  readonly append?: string;
  readonly vcpus: string;
  readonly vcpuType: string;
  readonly guestFeatures: string;
  readonly mode: string;
  readonly svsm?: string;
  readonly varsSize: string;
}

function parseCount(text: string): number {
  const count = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (count < 1 || count > 512) throw new CocosError('USAGE', 'A guest has 1 to 512 vCPUs.');
  return count;
}

function parseNumber(text: string, what: string, limit: number): number {
  const value = /^(?:0x[0-9a-fA-F]+|\d+)$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= 0 && value <= limit)) throw new CocosError('USAGE', `${text} is no ${what}.`);
  return value;
}

/** Guest features are written in hex, with or without 0x. */
function parseFeatures(text: string): number {
  return parseNumber(`0x${text.replace(/^0x/, '')}`, 'number of guest features', 0xffff_ffff);
}

/** Digests of kernel and initrd; null without a kernel. */
async function kernelOf({ kernel, initrd, append }: Options) {
  if (kernel === undefined) {
    if (initrd === undefined && append === undefined) return null;
    throw new CocosError('USAGE', 'An initrd or a command line needs a kernel.');
  }
  const hex = async (file: string) => Buffer.from(hashes.sha256(await readEvidence(file))).toString('hex');
  return {
    kernel: await hex(kernel),
    initrd: initrd === undefined ? null : await hex(initrd),
    commandLine: append ?? '',
  };
}

async function measure(options: Options): Promise<Uint8Array> {
  const mode = MODES.find((each) => each === options.mode);
  if (mode === undefined) throw new CocosError('USAGE', `A mode is one of ${MODES.join(', ')}.`);
  const vcpus = parseCount(options.vcpus);
  const { vcpuType } = options;
  const guestFeatures = parseFeatures(options.guestFeatures);
  const firmware = await readEvidence(options.ovmf);
  const kernel = await kernelOf(options);
  switch (mode) {
    case 'snp': {
      const { state, layout } = firmwareState(firmware, hashes);
      const none = { kernel: null, initrd: null, commandLine: '' };
      return measureVm(
        { firmware: { digest: state, layout }, ...(kernel ?? none), vcpus, vcpuType, guestFeatures },
        hashes,
      );
    }
    case 'snp:svsm': {
      if (options.svsm === undefined) throw new CocosError('USAGE', 'The mode snp:svsm needs --svsm.');
      if (kernel !== null) throw new CocosError('USAGE', 'Under an SVSM no kernel is measured at launch.');
      const svsm = await readEvidence(options.svsm);
      const variablesBytes = parseNumber(options.varsSize, 'size', 64 * 1024 * 1024);
      return measureSvsm({ firmware, svsm, variablesBytes, vcpus, vcpuType }, hashes);
    }
    case 'seves':
      return measureSevEs({ firmware, kernel, vcpus, vcpuType }, hashes);
    case 'sev':
      return measureSev({ firmware, kernel }, hashes);
  }
}

export function measureCommands(context: CommandContext): Command {
  const command = new Command('measure').description('compute measurements of launches');
  command
    .command('snp')
    .description('the launch digest of an SNP, SEV-ES or SEV guest under QEMU')
    .requiredOption('--ovmf <file>', 'firmware image')
    .option('--kernel <file>', 'kernel of a direct boot')
    .option('--initrd <file>', 'initrd of a direct boot')
    .option('--append <text>', 'kernel command line of a direct boot')
    .requiredOption('--vcpus <n>', 'number of vCPUs')
    .requiredOption('--vcpu-type <name>', 'vCPU model given to QEMU, for example EPYC-v4')
    .option('--guest-features <hex>', 'SEV_FEATURES of the guest', DEFAULT_FEATURES)
    .option('--mode <mode>', MODES.join(', '), 'snp')
    .option('--svsm <file>', 'SVSM image, for the mode snp:svsm')
    .option('--vars-size <bytes>', 'size of the variable store between firmware and SVSM', '0')
    .action(async (options: Options) => {
      const digest = Buffer.from(await measure(options)).toString('hex');
      context.output.result(digest, { mode: options.mode, digest });
    });
  return command;
}
