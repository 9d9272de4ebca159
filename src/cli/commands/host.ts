import { type CommandGroup, option } from '../command-row.ts';

export const HOST: CommandGroup = {
  name: 'host',
  description: 'what the host of a manager can protect enclaves with',
  commands: [
    {
      name: 'show',
      description: 'show the version and the platforms of the host',
      parameters: [],
      load: () => import('./host/show.ts'),
    },
    {
      name: 'doctor',
      description: 'look at the host again, and list for each platform what is missing and how to get it',
      parameters: [option('--report', 'print everything that was found, for a report about this host')],
      load: () => import('./host/doctor.ts'),
    },
    {
      name: 'root',
      description: 'print the development root of an emulated host, PEM',
      parameters: [],
      load: () => import('./host/root.ts'),
    },
  ],
};
