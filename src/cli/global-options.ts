import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { decodePrivateKeyFile, isPrivateKeyFileSealed } from '../crypto/key-file.ts';
import { CocosError } from '../errors.ts';
import { Manifest } from '../machines/manifest.ts';
import { defaultRunDir, parseAddress, type TlsFiles } from '../rpc/address.ts';
import { ControlClient } from '../rpc/control-client.ts';
import { readInput, readJson } from './files.ts';

/** Options that every command takes. */
export interface GlobalOptions {
  readonly manager?: string;
  readonly output?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsCa?: string;
}

/** The manager that the options or the environment name. */
export function controlClient(options: GlobalOptions, environment: NodeJS.ProcessEnv): ControlClient {
  const setting = (name: string) => environment[name];
  const tls: TlsFiles = {
    certificate: options.tlsCert ?? setting('COCOSAI_TLS_CERT'),
    key: options.tlsKey ?? setting('COCOSAI_TLS_KEY'),
    authority: options.tlsCa ?? setting('COCOSAI_TLS_CA'),
  };
  const runDir = setting('COCOSAI_RUN_DIR') ?? defaultRunDir(environment);
  const address =
    options.manager ?? setting('COCOSAI_MANAGER') ?? `unix:${path.join(runDir, 'manager.sock')}`;
  return new ControlClient(parseAddress(address), tls);
}

/** @throws CocosError MANIFEST_INVALID naming the field. */
export async function readManifest(file: string): Promise<Manifest> {
  const json = await readJson(file).catch((thrown: unknown) => {
    const error = CocosError.from(thrown);
    throw error.code === 'FILE_UNREADABLE'
      ? new CocosError('MANIFEST_INVALID', error.message, { cause: error })
      : error;
  });
  const parsed = Manifest.safeParse(json);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new CocosError('MANIFEST_INVALID', `${file}: ${issue?.path.join('.')}: ${issue?.message}`);
}

/** Reads a private key file. @throws CocosError KEY_FILE_PERMISSIONS, KEY_FILE_INVALID, KEY_PASSPHRASE */
export async function readKeys(file: string, passphraseFile: string | undefined) {
  const text = (await readInput(file)).toString('utf8');
  await requireOwnerOnly(file);
  const passphrase = passphraseFile === undefined ? undefined : await readPassphrase(passphraseFile);
  if (isPrivateKeyFileSealed(text) && passphrase === undefined) {
    throw new CocosError('KEY_PASSPHRASE', `${file} is sealed; give --passphrase-file.`);
  }
  return decodePrivateKeyFile(text, passphrase);
}

/** @throws CocosError KEY_FILE_PERMISSIONS when anybody but its owner may do anything with the file */
export async function requireOwnerOnly(file: string): Promise<void> {
  const { mode } = await stat(file);
  if ((mode & 0o077) !== 0) {
    throw new CocosError('KEY_FILE_PERMISSIONS', `${file} can be read by others; chmod 600 it.`);
  }
}

/** The first line of a file. */
export async function readPassphrase(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new CocosError('FILE_NOT_FOUND', `The passphrase file ${file} cannot be read.`, { cause });
  });
  return text.split('\n', 1)[0] ?? '';
}
