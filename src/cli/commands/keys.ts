import {
  argument,
  type CommandGroup,
  option,
  passphraseOption,
  requiredOption,
  sealOption,
} from '../command-row.ts';

export const KEYS: CommandGroup = {
  name: 'keys',
  description: 'create and convert key pairs of participants',
  commands: [
    {
      name: 'generate',
      description: 'create a key pair: NAME.key (private, mode 0600) and NAME.pub',
      parameters: [argument('<name>'), option('--out <folder>', 'output folder').default('.'), sealOption()],
      load: () => import('./keys/generate.ts'),
    },
    {
      name: 'import',
      description: 'create NAME.key and NAME.pub from keys of another program, PEM or JWK',
      parameters: [
        argument('<name>'),
        requiredOption('--signing <file>', 'Ed25519 private key'),
        option('--kem <file>', 'X25519 private key (default: a new X-Wing key)'),
        option('--out <folder>', 'output folder').default('.'),
        option('--source-passphrase-file <file>', 'file whose first line opens an encrypted PEM'),
        sealOption(),
      ],
      load: () => import('./keys/import.ts'),
    },
    {
      name: 'export',
      description: 'write a private key in a format of other programs',
      parameters: [
        argument('<file>', 'a private key file'),
        requiredOption('--out <file>', 'output file, created with mode 0600'),
        option('--which <key>', 'key to export').choices(['signing', 'kem']).default('signing'),
        option('--form <form>', 'output format').choices(['pem', 'jwk']).default('pem'),
        passphraseOption(),
        option('--out-passphrase-file <file>', 'encrypt the PEM with the first line of this file'),
      ],
      load: () => import('./keys/export.ts'),
    },
    {
      name: 'list',
      description: 'list the key files in a folder',
      parameters: [argument('[folder]', 'folder with key files').default('.')],
      load: () => import('./keys/list.ts'),
    },
    {
      name: 'show',
      description: 'show the public keys in a private or public key file',
      parameters: [argument('<file>'), passphraseOption()],
      load: () => import('./keys/show.ts'),
    },
  ],
};
