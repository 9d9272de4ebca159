/** Limits on the content of an archive, for packing and unpacking. */
export interface ArchiveLimits {
  /** Bytes of all files together. */
  readonly maxBytes: number;
  /** Files and folders together. */
  readonly maxEntries: number;
}

export const DEFAULT_ARCHIVE_LIMITS: ArchiveLimits = { maxBytes: 64 * 1024 ** 3, maxEntries: 100_000 };
