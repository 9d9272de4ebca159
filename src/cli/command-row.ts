import { Argument, Option } from 'commander';
import type { CommandContext } from './command-context.ts';

/** One command: its name, its description, its parameters, and the file that runs it, loaded only when it runs. */
export interface CommandRow {
  readonly name: string;
  readonly description: string;
  readonly parameters: readonly (Argument | Option)[];
  load(): Promise<CommandFile>;
}

/** Commands under a common first word. */
export interface CommandGroup {
  readonly name: string;
  readonly description: string;
  readonly commands: readonly (CommandRow | CommandGroup)[];
}

/**
 * What a command's file exports. The parser yields the options and arguments that the row declares; a file narrows their
 * types to those, which method parameters allow.
 */
export interface CommandFile {
  run(context: CommandContext, options: unknown, ...args: unknown[]): Promise<void>;
}

export const argument = (name: string, description = ''): Argument => new Argument(name, description);

export const option = (flags: string, description = ''): Option => new Option(flags, description);

export const requiredOption = (flags: string, description: string): Option =>
  option(flags, description).makeOptionMandatory();

/** An option that may be given several times; its values are collected in order. */
export const repeatedOption = (flags: string, description: string): Option =>
  option(flags, `${description} (repeatable)`)
    .default([])
    .argParser((value: string, before: readonly string[]) => [...before, value]);

/** Options that several commands share; each call makes a new one, as commander stores state in them. */
export const passphraseOption = (): Option =>
  option('--passphrase-file <file>', 'file whose first line opens a sealed private key');

export const sealOption = (): Option =>
  option('--passphrase-file <file>', 'seal the private key with the first line of this file');

export const policyKeyOption = (): Option =>
  option('--policy-key <key>', 'public key that must have signed the policy, ed25519:…');

export const collateralOption = (): Option =>
  option('--collateral <dir>', 'folder of vendor certificates, revocation lists and TCB information');

export const atOption = (): Option => option('--at <time>', 'time of appraisal, ISO 8601 (default: now)');

export const singlePolicyOptions = (): Option[] => [
  option('--policy <file>', 'appraisal policy, JSON, plain or signed (default: a strict one)'),
  policyKeyOption(),
];

/** Options of every command that opens a session with an agent. */
export const participantOptions = (): Option[] => [
  requiredOption('--manifest <file>', 'the manifest that you agreed to'),
  requiredOption('--key <file>', 'your private key'),
  requiredOption('--policy <file>', 'your appraisal policy'),
  requiredOption('--reference <file>', 'reference values of the image that you trust'),
  policyKeyOption(),
  collateralOption(),
  passphraseOption(),
];
