import { argument, type CommandGroup, option, requiredOption } from '../command-row.ts';

export const EOS: CommandGroup = {
  name: 'eos',
  description: 'verify, predict and compare guest images without starting them',
  commands: [
    {
      name: 'verify',
      description:
        'check the sums, the signatures and the reference values of an image, and show how to rebuild it',
      parameters: [
        argument('<folder>'),
        option(
          '--certificate <file>',
          'signer of kernel image and sums, PEM (default: any that its firmware trusts)',
        ),
        option('--allow-unsigned-sums', 'accept a signed image whose SHA256SUMS file is not signed'),
      ],
      load: () => import('./eos/verify.ts'),
    },
    {
      name: 'predict',
      description: 'compute the measurements of an image from its files',
      parameters: [
        argument('<folder>'),
        requiredOption('--platform <name>', 'snp, tdx, uefi or emulated'),
        option('--vcpus <n>', 'number of vCPUs').default('1'),
        option('--vcpu-type <name>', 'vCPU model given to QEMU').default('EPYC-v3'),
      ],
      load: () => import('./eos/predict.ts'),
    },
    {
      name: 'diff',
      description: 'list the files that differ between two images',
      parameters: [argument('<a>'), argument('<b>')],
      load: () => import('./eos/diff.ts'),
    },
  ],
};
