/** PLATFORM_INFO of a report (SEV-SNP ABI, offset 0x040): bit of each known property. */
export const PLATFORM_INFO_BITS = {
  smt: 0,
  tsme: 1,
  ecc: 2,
  raplDisabled: 3,
  ciphertextHiding: 4,
  aliasCheckComplete: 5,
  trustedIo: 7,
} as const;

export type PlatformInfoName = keyof typeof PLATFORM_INFO_BITS;

/** Names of the properties that are on. Bits without a name are left alone: newer firmware sets some. */
export function platformInfoNames(value: bigint): PlatformInfoName[] {
  const all = Object.keys(PLATFORM_INFO_BITS) as PlatformInfoName[];
  return all.filter((name) => ((value >> BigInt(PLATFORM_INFO_BITS[name])) & 1n) === 1n);
}
