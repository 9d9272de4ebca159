import { argument, type CommandGroup, option } from '../command-row.ts';

export const ENCLAVE: CommandGroup = {
  name: 'enclave',
  description: 'create, watch, stop and remove the enclaves of a manager',
  commands: [
    {
      name: 'create',
      description: 'create an enclave and wait until its agent is ready',
      parameters: [
        argument('[name]', 'name of the enclave').default('', 'generated'),
        option('--manifest <file>', 'manifest to deliver; its digest is bound into the launch'),
        option('--mode <mode>', 'run the agent in a virtual machine or in a process').choices([
          'vm',
          'process',
        ]),
        option(
          '--platform <platform>',
          'hardware that must protect the enclave (default: what the manager is set to)',
        ).choices(['sev-snp', 'tdx', 'emulated']),
        option('--vcpus <number>', 'number of vCPUs'),
        option('--memory <MiB>', 'memory of the virtual machine'),
        option('--no-wait', 'return as soon as the manager has accepted the request'),
      ],
      load: () => import('./enclave/create.ts'),
    },
    {
      name: 'list',
      description: 'list all enclaves with their states',
      parameters: [],
      load: () => import('./enclave/list.ts'),
    },
    {
      name: 'show',
      description: 'show an enclave and the actors in it',
      parameters: [argument('<enclave>')],
      load: () => import('./enclave/show.ts'),
    },
    {
      name: 'watch',
      description: 'print state transitions as they happen, until the enclave has ended',
      parameters: [argument('[enclave]', 'name or id').default('', 'all enclaves')],
      load: () => import('./enclave/watch.ts'),
    },
    {
      name: 'stop',
      description: 'stop an enclave and wait until all its processes have ended',
      parameters: [argument('<enclave>')],
      load: () => import('./enclave/stop.ts'),
    },
    {
      name: 'remove',
      description: 'stop an enclave if it is running, and delete its record and logs',
      parameters: [argument('<enclave>')],
      load: () => import('./enclave/remove.ts'),
    },
  ],
};
