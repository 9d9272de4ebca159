import type { Manifest } from '../../machines/manifest.ts';
import { argument, type CommandGroup, option, repeatedOption, requiredOption } from '../command-row.ts';

/** The kinds of the schema, which is too slow to load for a table. The type makes both agree. */
const KINDS: Readonly<Record<Manifest['algorithm']['kind'], true>> = {
  binary: true,
  python: true,
  wasm: true,
};

export const MANIFEST: CommandGroup = {
  name: 'manifest',
  description: 'write, show and deliver the agreement of the parties',
  commands: [
    {
      name: 'create',
      description:
        'write a manifest; SOURCE is a file, a directory, sha256:DIGEST or sha3-256:DIGEST (directory:sha256:DIGEST for a dataset that is a directory), KEY is a public key file',
      parameters: [
        requiredOption('--name <text>', 'name of the computation'),
        option('--id <id>', 'id of the computation (default: random)'),
        requiredOption('--algorithm <SOURCE@KEY>', 'the algorithm and its provider'),
        option('--kind <kind>', 'how the algorithm runs').choices(Object.keys(KINDS)).default('python'),
        repeatedOption('--argument <text>', 'argument of the algorithm'),
        repeatedOption('--dataset <NAME=SOURCE@KEY>', 'a dataset and its provider'),
        repeatedOption('--consumer <KEY>', 'a party that receives the result'),
        repeatedOption(
          '--start <KEY>',
          'a party that may start the run; without one it starts automatically',
        ),
        repeatedOption('--stop <KEY>', 'a party that may stop the computation'),
        repeatedOption(
          '--limit <NAME=NUMBER>',
          'seconds, memoryMiB, diskMiB, processes, inputMiB, participantMiB or participantTransfers',
        ),
        repeatedOption(
          '--disclose <NAME=VALUE>',
          'bound what the host learns: exitCode, runTimeSeconds, resultPadding or log',
        ),
        option('--hash <name>', 'digest of each SOURCE that is a file')
          .choices(['sha256', 'sha3-256'])
          .default('sha256'),
        option('--policy-digest <digest>', 'digest of the appraisal policy that all parties use'),
        requiredOption('--out <file>', 'output file'),
      ],
      load: () => import('./manifest/create.ts'),
    },
    {
      name: 'show',
      description: 'show every member of a manifest',
      parameters: [argument('<file>')],
      load: () => import('./manifest/show.ts'),
    },
    {
      name: 'check',
      description:
        'explain what a manifest means for a key: its roles, who receives what, start, stop, limits',
      parameters: [argument('<file>'), requiredOption('--key <file>', 'your public or private key file')],
      load: () => import('./manifest/check.ts'),
    },
    {
      name: 'diff',
      description: 'list the members in which two manifests differ: exit code 0 identical, 1 different',
      parameters: [argument('<a>'), argument('<b>')],
      load: () => import('./manifest/diff.ts'),
    },
    {
      name: 'digest',
      description: 'print the digest of a manifest, which all parties compare',
      parameters: [argument('<file>')],
      load: () => import('./manifest/digest.ts'),
    },
    {
      name: 'send',
      description: 'deliver a manifest to an enclave that was created without one',
      parameters: [argument('<enclave>'), argument('<file>')],
      load: () => import('./manifest/send.ts'),
    },
  ],
};
