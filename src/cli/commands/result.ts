import {
  argument,
  type CommandGroup,
  collateralOption,
  option,
  participantOptions,
  passphraseOption,
  policyKeyOption,
  requiredOption,
} from '../command-row.ts';

/** What a result is verified by. Without manifest, policy and reference values it stays unverified. */
const verificationOptions = () => [
  option('--manifest <file>', 'the manifest that you agreed to'),
  option('--policy <file>', 'your appraisal policy'),
  option('--reference <file>', 'reference values of the image that you trust'),
  policyKeyOption(),
  collateralOption(),
  option('--evidence <file>', 'evidence of the enclave, for a file of an older version, which contains none'),
  option('--nonce <hex>', 'nonce of the challenge that --evidence answers'),
  option('--at <time>', 'time of appraisal, ISO 8601 (default: when the result was fetched)'),
];

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
      description:
        'judge a result offline by your manifest, policy and reference values: exit code 0 verified, 2 not',
      parameters: [
        argument('<file>'),
        ...verificationOptions(),
        option('--key <file>', 'your private key, to open the content too'),
        passphraseOption(),
      ],
      load: () => import('./result/verify.ts'),
    },
    {
      name: 'open',
      description: 'verify a sealed result, decrypt it with your key and unpack it into a new folder',
      parameters: [
        argument('<file>'),
        requiredOption('--key <file>', 'your private key'),
        requiredOption('--out <folder>', 'output folder, which must not exist'),
        ...verificationOptions(),
        option('--force-unverified', 'open it although anybody could have made it'),
        passphraseOption(),
      ],
      load: () => import('./result/open.ts'),
    },
  ],
};
