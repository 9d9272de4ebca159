import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { CocosError } from '../../../errors.ts';

/** Sends one command and returns its response. */
export interface TpmPort {
  /** @throws CocosError TPM_FAILED */
  transmit(command: Uint8Array): Uint8Array | Promise<Uint8Array>;
}

/** The kernel's resource manager: closing the descriptor flushes its objects. */
const DEVICE = '/dev/tpmrm0';
/** Largest response of a PC Client TPM (Platform TPM Profile, 4.6). */
const MAX_RESPONSE_BYTES = 4096;

/** The TPM of this guest; null if it has none. */
export function openTpmDevice(path: string = DEVICE): TpmPort | null {
  let descriptor: number;
  try {
    descriptor = openSync(path, 'r+');
  } catch {
    return null;
  }
  process.once('exit', () => closeSync(descriptor));
  return {
    transmit(command) {
      try {
        // One write is one command, and one read its whole response (Linux tpm-dev-common.c).
        writeSync(descriptor, command);
        const response = Buffer.alloc(MAX_RESPONSE_BYTES);
        return response.subarray(0, readSync(descriptor, response, 0, response.length, null));
      } catch (cause) {
        throw new CocosError('TPM_FAILED', `The TPM at '${path}' does not respond; try again.`, { cause });
      }
    },
  };
}
