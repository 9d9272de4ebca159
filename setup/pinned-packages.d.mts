import type { PinnedPackage } from '../eos/unpack.ts';

export function ensurePinnedPackages(options?: { log?: (line: string) => void; uses?: readonly string[] }): {
  packages: PinnedPackage[];
  fetched: number;
  substituted: number;
};
