import { type EmulatedProtection, emulatedArguments } from './emulated/arguments.ts';
import type { LaunchArguments } from './launch-arguments.ts';
import { type SevSnpProtection, sevSnpArguments } from './sev-snp/arguments.ts';
import { type TdxProtection, tdxArguments } from './tdx/arguments.ts';

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
