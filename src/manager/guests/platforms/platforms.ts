import { CocosError } from '../../../errors.ts';
import type { TeePlatform } from '../../../machines/enclave.events.ts';
import { type EmulatedProtection, emulatedArguments } from './emulated/arguments.ts';
import { detectEmulated } from './emulated/detect.ts';
import { firstMissing, type PlatformReport } from './finding.ts';
import type { HostFacts } from './host-facts.ts';
import type { LaunchArguments } from './launch-arguments.ts';
import { type SevSnpProtection, sevSnpArguments } from './sev-snp/arguments.ts';
import { detectSevSnp } from './sev-snp/detect.ts';
import { type TdxProtection, tdxArguments } from './tdx/arguments.ts';
import { detectTdx } from './tdx/detect.ts';

/** How the memory and state of a guest are protected: by the hardware named, or not at all. */
export type Protection = EmulatedProtection | SevSnpProtection | TdxProtection;

/** The row of each platform. */
export function launchArguments(protection: Protection): LaunchArguments {
  switch (protection.kind) {
    case 'none':
      return emulatedArguments();
    case 'sev-snp':
      return sevSnpArguments(protection);
    case 'tdx':
      return tdxArguments(protection);
  }
}

/** What was found out about each platform, strongest first. */
export function detectPlatforms(facts: HostFacts): readonly PlatformReport[] {
  return [detectSevSnp(facts), detectTdx(facts), detectEmulated()];
}

/**
 * The platform that a guest gets: the one that was requested by name, or the strongest of this host.
 *
 * @throws CocosError HOST_TEE_UNAVAILABLE: one that was requested is never replaced by a weaker one
 */
export function choosePlatform(
  requested: TeePlatform | 'auto',
  reports: readonly PlatformReport[],
): PlatformReport {
  const found = reports.find(({ platform, isAvailable }) =>
    requested === 'auto' ? isAvailable : platform === requested,
  );
  if (found?.isAvailable) return found;
  const why = found === undefined ? 'It was not looked for.' : firstMissing(found);
  throw new CocosError('HOST_TEE_UNAVAILABLE', `This host cannot start ${requested} guests. ${why}`);
}
