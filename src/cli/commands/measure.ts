import { type CommandGroup, option, requiredOption } from '../command-row.ts';

export const MEASURE: CommandGroup = {
  name: 'measure',
  description: 'compute launch measurements from files',
  commands: [
    {
      name: 'snp',
      description: 'compute the launch digest of an SEV-SNP, SEV-ES or SEV guest',
      parameters: [
        requiredOption('--ovmf <file>', 'firmware image'),
        option('--kernel <file>', 'kernel of a direct boot'),
        option('--initrd <file>', 'initrd of a direct boot'),
        option('--append <text>', 'kernel command line of a direct boot'),
        requiredOption('--vcpus <n>', 'number of vCPUs'),
        option('--vcpu-type <name>', 'vCPU model given to QEMU, for example EPYC-v4'),
        option('--vcpu-sig <number>', 'CPUID(1).EAX of another vCPU model, for example 0xaa0f02'),
        option('--vmm <name>', 'hypervisor, for mode snp: qemu, ec2 or gce').default('qemu'),
        option('--guest-features <hex>', 'SEV_FEATURES of the guest').default('0x1'),
        option('--mode <mode>', 'snp, snp:svsm, seves or sev').default('snp'),
        option('--svsm <file>', 'SVSM image, for mode snp:svsm'),
        option('--vars-size <bytes>', 'size of the variable store between firmware and SVSM').default('0'),
      ],
      load: () => import('./measure/snp.ts'),
    },
  ],
};
