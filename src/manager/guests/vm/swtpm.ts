import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CocosError } from '../../../errors.ts';
import { findSwtpm } from './find-program.ts';
import { type HostProcess, startHostProcess } from './host-process.ts';

/** AES-256 key of the state file, as swtpm reads it. */
const KEY_BYTES = 32;
const CIPHER = 'aes-256-cbc';
/** Bank that firmware, kernel stub and agent measure into. */
const BANKS = 'sha256';
const MANUFACTURE_LIMIT_MS = 30_000;
/** Long, for a busy host: one that fails ends, and is not waited for. */
const START_LIMIT_MS = 30_000;
const POLL_MS = 10;

/** Where the vTPM of one enclave keeps what it must. */
export interface VtpmFolders {
  /** Of this enclave alone: encrypted state and its key. */
  readonly folder: string;
  /** The local authority that signs the certificates of endorsement keys on this host. */
  readonly authority: string;
  readonly logPath: string;
}

/**
 * Makes a new TPM 2.0: seeds, an ECC P-384 endorsement key with a certificate of the local authority, the SHA-256
 * bank. The state is encrypted with a new key, which lies beside it for its owner alone.
 *
 * @throws CocosError HOST_TPM_MISSING, VM_LAUNCH_FAILED
 */
export async function manufactureVtpm({ folder, authority, logPath }: VtpmFolders): Promise<void> {
  const { setup, localCa } = findSwtpm();
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await mkdir(authority, { recursive: true, mode: 0o700 });
  await writeFile(keyFile(folder), randomBytes(KEY_BYTES).toString('hex'), { mode: 0o600 });
  const config = await writeConfig(folder, authority, localCa);
  const maker = await startHostProcess(
    setup,
    [
      ...['--tpm2', '--tpmstate', folder, '--config', config, '--logfile', logPath],
      ...['--ecc', '--createek', '--create-ek-cert', '--pcr-banks', BANKS],
      ...['--keyfile', keyFile(folder), '--cipher', CIPHER, '--overwrite'],
    ],
    logPath,
  );
  const timer = setTimeout(() => void maker.end().catch(() => undefined), MANUFACTURE_LIMIT_MS);
  const { code } = await maker.exited;
  clearTimeout(timer);
  if (code !== 0) throw new CocosError('VM_LAUNCH_FAILED', `swtpm_setup ended with ${code}; see ${logPath}.`);
}

/**
 * Starts the TPM and waits until QEMU can connect. It ends by itself when QEMU closes the connection.
 *
 * @throws CocosError HOST_TPM_MISSING, VM_LAUNCH_FAILED when it ends, or has no socket within thirty seconds
 */
export async function startVtpm(
  { folder, logPath }: Pick<VtpmFolders, 'folder' | 'logPath'>,
  socketPath: string,
): Promise<HostProcess> {
  const tpm = await startHostProcess(
    findSwtpm().swtpm,
    [
      ...['socket', '--tpm2', '--terminate', '--tpmstate', `dir=${folder},mode=0600`],
      ...['--ctrl', `type=unixio,path=${socketPath},mode=0600`],
      ...['--key', `file=${keyFile(folder)},mode=${CIPHER},format=hex`],
    ],
    logPath,
  );
  let hasEnded = false;
  tpm.exited.then(() => {
    hasEnded = true;
  }, undefined);
  const deadline = performance.now() + START_LIMIT_MS;
  while (!existsSync(socketPath)) {
    if (hasEnded || performance.now() > deadline) {
      await tpm.end();
      throw new CocosError('VM_LAUNCH_FAILED', `The vTPM did not start; see ${logPath}.`);
    }
    await sleep(POLL_MS);
  }
  return tpm;
}

function keyFile(folder: string): string {
  return join(folder, 'key');
}

/** Configuration of swtpm_setup and of its authority, so that neither reads nor writes the host's own. */
async function writeConfig(folder: string, authority: string, localCa: string): Promise<string> {
  const caConfig = join(folder, 'localca.conf');
  const caOptions = join(folder, 'localca.options');
  const config = join(folder, 'setup.conf');
  await writeFile(
    caConfig,
    [
      `statedir = ${authority}`,
      `signingkey = ${join(authority, 'signkey.pem')}`,
      `issuercert = ${join(authority, 'issuercert.pem')}`,
      `certserial = ${join(authority, 'certserial')}`,
      '',
    ].join('\n'),
  );
  await writeFile(caOptions, '--platform-manufacturer CocosAI\n--platform-version 1\n--platform-model EOS\n');
  await writeFile(
    config,
    [
      `create_certs_tool = ${localCa}`,
      `create_certs_tool_config = ${caConfig}`,
      `create_certs_tool_options = ${caOptions}`,
      `active_pcr_banks = ${BANKS}`,
      '',
    ].join('\n'),
  );
  for (const file of [caConfig, caOptions, config]) await chmod(file, 0o600);
  return config;
}
