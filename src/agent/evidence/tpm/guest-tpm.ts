import { writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { openTpmDevice } from './device.ts';
import { Tpm } from './tpm.ts';
import { Vtpm } from './vtpm.ts';

const FIRMWARE_LOG = '/sys/kernel/security/tpm0/binary_bios_measurements';
const RANDOM = '/dev/urandom';
const SEED_BYTES = 64;

/**
 * Initializes the guest's TPM before any key is generated: mixes its random bytes into the kernel's pool, which waits
 * for the CPU's entropy by itself, and measures the agent's own program.
 *
 * @param program path of the running bundle
 * @returns null in a guest without a TPM
 * @throws CocosError TPM_FAILED
 */
export async function openGuestTpm(program: string): Promise<Vtpm | null> {
  const port = openTpmDevice();
  if (port === null) return null;
  const tpm = new Tpm(port);
  writeFileSync(RANDOM, await tpm.random(SEED_BYTES));
  const log = await readFile(FIRMWARE_LOG).catch(() => null);
  const vtpm = await Vtpm.open(tpm, log);
  await vtpm.measure('cocosai:agent', await readFile(program));
  return vtpm;
}
