import { z } from 'zod';
import { TeePlatform } from '../../../machines/enclave.events.ts';

/** One thing that a platform needs of the host. */
export const Finding = z.strictObject({
  /** What is needed, in a few words. */
  need: z.string(),
  isMet: z.boolean(),
  /** What was found in its place. */
  found: z.string(),
  /** How to get it; null where it is there. */
  remedy: z.string().nullable(),
});
export type Finding = Readonly<z.infer<typeof Finding>>;

/** What was found out about one platform on this host. */
export const PlatformReport = z.strictObject({
  platform: TeePlatform,
  isAvailable: z.boolean(),
  findings: z.array(Finding).readonly(),
  /** Guests that the hardware can protect at the same time; null for no limit that is known. */
  slots: z.int().min(0).nullable(),
});
export type PlatformReport = Readonly<z.infer<typeof PlatformReport>>;

export function met(need: string, found: string): Finding {
  return { need, isMet: true, found, remedy: null };
}

export function unmet(need: string, found: string, remedy: string): Finding {
  return { need, isMet: false, found, remedy };
}

export function reportOf(
  platform: TeePlatform,
  findings: readonly Finding[],
  slots: number | null,
): PlatformReport {
  return { platform, isAvailable: findings.every(({ isMet }) => isMet), findings, slots };
}

/** The first thing that is missing, and how to get it, as two sentences. */
export function firstMissing({ findings }: PlatformReport): string {
  const missing = findings.find(({ isMet }) => !isMet);
  if (missing === undefined) return 'Everything it needs is there.';
  const others = findings.filter(({ isMet }) => !isMet).length - 1;
  const more = others === 0 ? '' : ` (and ${others} more: cocos-cli host doctor)`;
  return `It needs ${missing.need}, but ${missing.found}${more}. ${missing.remedy ?? ''}`.trim();
}
