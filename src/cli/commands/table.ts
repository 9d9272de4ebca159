import { argument, type CommandGroup, type CommandRow, option, participantOptions } from '../command-row.ts';
import { ACTORS } from './actors.ts';
import { ATTESTATION } from './attestation.ts';
import { ENCLAVE } from './enclave.ts';
import { EOS } from './eos.ts';
import { HOST } from './host.ts';
import { KEYS } from './keys.ts';
import { MANIFEST } from './manifest.ts';
import { MEASURE } from './measure.ts';
import { RESULT } from './result.ts';

/** Every command: a row here or in the table of its group, and a file that is loaded when the command runs. */

const SEND_OPTIONS = () => [
  ...participantOptions(),
  option('--grpc-only', 'send over gRPC, for networks that carry nothing else'),
  option('--compress', 'send as gzip; the compressed size reveals something about the content'),
];

const CHECKSUM: CommandRow = {
  name: 'checksum',
  description: 'print the digest of a file, or of a folder as the tar that is sent',
  parameters: [
    argument('<path>'),
    option('--algorithm <name>', 'sha256 for manifests; sha3-256 for the Go CocosAI')
      .choices(['sha256', 'sha3-256'])
      .default('sha256'),
    option('--folder-as <format>', 'how to pack a folder; the Go CocosAI sends zip')
      .choices(['tar', 'zip'])
      .default('tar'),
  ],
  load: () => import('./checksum.ts'),
};

const ALGO: CommandRow = {
  name: 'algo',
  description: 'verify an enclave and send it the algorithm, sealed',
  parameters: [
    argument('<enclave>'),
    argument('<file>', 'a file, or a folder, which is sent as a tar'),
    ...SEND_OPTIONS(),
  ],
  load: () => import('./inputs/algo.ts'),
};

const DATA: CommandRow = {
  name: 'data',
  description: 'verify an enclave and send it a dataset, sealed',
  parameters: [
    argument('<enclave>'),
    argument('<name>', 'name of the dataset in the manifest'),
    argument('<path>', 'a file, or a directory, which arrives as a directory'),
    ...SEND_OPTIONS(),
  ],
  load: () => import('./inputs/data.ts'),
};

const RUN: CommandRow = {
  name: 'run',
  description: 'start the run if the manifest allows your key to, and wait until the result is ready',
  parameters: [argument('<enclave>'), ...participantOptions()],
  load: () => import('./run.ts'),
};

const STOP: CommandRow = {
  name: 'stop',
  description: 'stop the computation if the manifest allows your key to',
  parameters: [argument('<enclave>'), ...participantOptions()],
  load: () => import('./stop.ts'),
};

export const COMMANDS: readonly (CommandRow | CommandGroup)[] = [
  KEYS,
  CHECKSUM,
  MANIFEST,
  ENCLAVE,
  HOST,
  ATTESTATION,
  MEASURE,
  EOS,
  ALGO,
  DATA,
  RUN,
  STOP,
  RESULT,
  ACTORS,
];
