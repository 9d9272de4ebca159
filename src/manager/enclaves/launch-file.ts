import { readFile, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { LaunchLog } from '../../attestation/evidence/launch-log.ts';
import { CocosError } from '../../errors.ts';
import type { LaunchPlan } from './launch-plan.ts';

/** What was launched, as it was then: the image on the disk may be another by the time a manager comes back. */
const LaunchFile = z.strictObject({
  launchLog: LaunchLog,
  measurement: z.string().regex(/^[0-9a-f]{96}$/),
  image: z
    .strictObject({
      firmware: z.string(),
      kernel: z.string(),
      initrd: z.string(),
      rootImage: z.string(),
      commandLine: z.string(),
      uefi: z.strictObject({ firmware: z.string(), variables: z.string(), kernel: z.string() }).optional(),
    })
    .nullable(),
});

export async function writeLaunch(file: string, plan: LaunchPlan): Promise<void> {
  const { launchLog, image } = plan;
  const measurement = Buffer.from(plan.measurement).toString('hex');
  await writeFile(file, JSON.stringify({ launchLog, measurement, image }), { mode: 0o600 });
}

/** @throws CocosError SNAPSHOT_INVALID when there is none, or it is damaged. */
export async function readLaunch(file: string): Promise<LaunchPlan> {
  try {
    const { launchLog, measurement, image } = LaunchFile.parse(JSON.parse(await readFile(file, 'utf8')));
    return { launchLog, measurement: Buffer.from(measurement, 'hex'), image };
  } catch (cause) {
    throw new CocosError('SNAPSHOT_INVALID', `The record of the launch, ${file}, cannot be read.`, { cause });
  }
}
