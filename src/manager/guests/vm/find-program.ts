import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { CocosError } from '../../../errors.ts';

const QEMU = 'qemu-system-x86_64';
/** Also the name under which the image builder puts the daemon beside the image. */
const VSOCK_DAEMON = 'vhost-device-vsock';

/** Path of QEMU. @throws CocosError HOST_QEMU_MISSING */
export function findQemu(): string {
  const found = onPath(QEMU);
  if (found === null) throw new CocosError('HOST_QEMU_MISSING', `There is no ${QEMU} on PATH.`);
  return found;
}

/**
 * Path of vhost-device-vsock: the one on PATH, else the one that the image builder put beside the image.
 *
 * @throws CocosError HOST_VSOCK_MISSING
 */
export function findVsockDaemon(imageFolder: string): string {
  const found = onPath(VSOCK_DAEMON) ?? executable(join(imageFolder, VSOCK_DAEMON));
  if (found === null) {
    throw new CocosError('HOST_VSOCK_MISSING', `There is no ${VSOCK_DAEMON} on PATH or in ${imageFolder}.`);
  }
  return found;
}

/**
 * Paths of the software TPM, of the program that makes its state and of its certificate authority.
 *
 * @throws CocosError HOST_TPM_MISSING
 */
export function findSwtpm(): { swtpm: string; setup: string; localCa: string } {
  const find = (name: string): string => {
    const found = onPath(name);
    if (found === null) throw new CocosError('HOST_TPM_MISSING', `There is no ${name} on PATH.`);
    return found;
  };
  return { swtpm: find('swtpm'), setup: find('swtpm_setup'), localCa: find('swtpm_localca') };
}

function onPath(name: string): string | null {
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  for (const folder of folders) {
    const found = executable(join(folder, name));
    if (found !== null) return found;
  }
  return null;
}

function executable(path: string): string | null {
  try {
    accessSync(path, constants.X_OK);
    return path;
  } catch {
    return null;
  }
}
