import { readFile, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { LaunchLog } from '../../attestation/evidence/launch-log.ts';
import { CocosError } from '../../errors.ts';
import { Protection } from '../guests/platforms/protection.ts';
import { ImageFiles } from '../guests/vm/boot-files.ts';
import type { LaunchPlan } from './launch-plan.ts';

/** What was launched, as it was then: the image on the disk may be another by the time a manager comes back. */
const LaunchFile = z.strictObject({
  launchLog: LaunchLog.nullable(),
  measurement: z.string().regex(/^[0-9a-f]{96}$/),
  machine: z.strictObject({ image: ImageFiles, protection: Protection, vcpuType: z.string() }).nullable(),
});

export async function writeLaunch(file: string, plan: LaunchPlan): Promise<void> {
  const measurement = Buffer.from(plan.measurement).toString('hex');
  await writeFile(file, JSON.stringify({ ...plan, measurement }), { mode: 0o600 });
}

/** @throws CocosError SNAPSHOT_INVALID when there is none, or it is damaged. */
export async function readLaunch(file: string): Promise<LaunchPlan> {
  try {
    const { measurement, ...plan } = LaunchFile.parse(JSON.parse(await readFile(file, 'utf8')));
    return { ...plan, measurement: Buffer.from(measurement, 'hex') };
  } catch (cause) {
    throw new CocosError('SNAPSHOT_INVALID', `The record of the launch, ${file}, cannot be read.`, { cause });
  }
}
