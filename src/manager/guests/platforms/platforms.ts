import { CocosError } from '../../../errors.ts';
import type { TeePlatform } from '../../../machines/enclave.events.ts';
import { emulatedArguments } from './emulated/arguments.ts';
import { detectEmulated } from './emulated/detect.ts';
import { planEmulated } from './emulated/plan.ts';
import { firstMissing, type PlatformReport } from './finding.ts';
import type { GuestPlan, PlannedGuest } from './guest-plan.ts';
import type { HostFacts } from './host-facts.ts';
import { findFailure, type KnownFailure } from './known-failures.ts';
import type { LaunchArguments } from './launch-arguments.ts';
import type { Protection } from './protection.ts';
import { sevSnpArguments } from './sev-snp/arguments.ts';
import { detectSevSnp } from './sev-snp/detect.ts';
import { SEV_SNP_FAILURES } from './sev-snp/known-failures.ts';
import { planSevSnp } from './sev-snp/plan.ts';
import { tdxArguments } from './tdx/arguments.ts';
import { detectTdx } from './tdx/detect.ts';
import { TDX_FAILURES } from './tdx/known-failures.ts';
import { planTdx } from './tdx/plan.ts';

/** The row of each platform. */
export function launchArguments(protection: Protection): LaunchArguments {
  switch (protection.kind) {
    case 'emulated':
      return emulatedArguments();
    case 'sev-snp':
      return sevSnpArguments(protection);
    case 'tdx':
      return tdxArguments(protection);
  }
}

const PLANS: Readonly<Record<TeePlatform, (guest: PlannedGuest) => Promise<GuestPlan>>> = {
  'sev-snp': planSevSnp,
  tdx: planTdx,
  emulated: planEmulated,
};

/** @throws CocosError HOST_IMAGE_MISSING, HOST_TEE_UNAVAILABLE */
export function planGuest(platform: TeePlatform, guest: PlannedGuest): Promise<GuestPlan> {
  return PLANS[platform](guest);
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

const FAILURES: Readonly<Record<TeePlatform, readonly KnownFailure[]>> = {
  'sev-snp': SEV_SNP_FAILURES,
  tdx: TDX_FAILURES,
  emulated: [],
};

/** What QEMU's output means, and what helps; null where nothing in it is known. */
export function explainFailure(platform: TeePlatform, output: string): string | null {
  const found = findFailure(FAILURES[platform], output);
  return found === null ? null : `${found.cause} ${found.remedy}`;
}
