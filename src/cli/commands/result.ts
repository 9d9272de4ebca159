import {
  argument,
  type CommandGroup,
  option,
  participantOptions,
  passphraseOption,
  requiredOption,
} from '../command-row.ts';

export const RESULT: CommandGroup = {
  name: 'result',
  description: 'fetch, verify and open results',
  commands: [
    {
      name: 'get',
      description: 'verify an enclave and fetch the sealed result with its receipt',
      parameters: [
        argument('<enclave>'),
        requiredOption('--out <file>', 'output file for the sealed result'),
        option('--grpc-only', 'fetch over gRPC, for networks that carry nothing else'),
        ...participantOptions(),
      ],
      load: () => import('./result/get.ts'),
    },
    {
      name: 'verify',
      description: 'verify the receipt of a result offline and, if given, that it matches the evidence',
      parameters: [
        argument('<file>'),
        option('--evidence <file>', 'evidence of the enclave, which you have appraised'),
      ],
      load: () => import('./result/verify.ts'),
    },
    {
      name: 'open',
      description: 'decrypt a sealed result with your key and unpack it into a new folder',
      parameters: [
        argument('<file>'),
        requiredOption('--key <file>', 'your private key'),
        requiredOption('--out <folder>', 'output folder, which must not exist'),
        passphraseOption(),
      ],
      load: () => import('./result/open.ts'),
    },
  ],
};
