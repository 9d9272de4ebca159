import { CocosError } from '../../errors.ts';
import type { Manifest } from '../../machines/manifest.ts';

/** Open uploads of one participant, unless the manifest sets another limit. */
const PARTICIPANT_TRANSFERS = 16;
const MIB = 1024 * 1024;

/** The limits on inputs that the parties agreed to in the manifest. */
export interface Quotas {
  /** Plaintext bytes of all inputs together. */
  readonly inputBytes: number;
  /** Plaintext bytes of one participant's inputs together. */
  readonly participantBytes: number;
  /** Uploads of one participant that are open at once. */
  readonly participantTransfers: number;
}

export function quotasOf(limits: Manifest['limits'] | undefined): Quotas {
  return {
    inputBytes: (limits?.inputMiB ?? Number.POSITIVE_INFINITY) * MIB,
    participantBytes: (limits?.participantMiB ?? Number.POSITIVE_INFINITY) * MIB,
    participantTransfers: limits?.participantTransfers ?? PARTICIPANT_TRANSFERS,
  };
}

/** What one input occupies of the quotas. */
export interface Reservation {
  readonly participant: string;
  /** Bytes of the content. */
  readonly size: number;
  readonly isOpen: boolean;
  /** Bytes that have not arrived yet. */
  readonly remaining: number;
}

/**
 * Checks a new reservation against the existing ones. The caller must record it in the same synchronous step, so that
 * two concurrent uploads cannot both take the last bytes.
 *
 * @param free bytes available on the file system
 * @throws CocosError QUOTA_EXCEEDED with the quota's name and limit; LIMIT_EXCEEDED when the remaining space is
 * reserved for other inputs
 */
export function requireQuota(
  existing: readonly Reservation[],
  { participant, size }: Pick<Reservation, 'participant' | 'size'>,
  quotas: Quotas,
  free: number,
): void {
  const own = existing.filter((each) => each.participant === participant);
  const bytes = (of: readonly Reservation[]) => of.reduce((sum, each) => sum + each.size, 0);
  requireWithin(
    'participantTransfers',
    own.filter((each) => each.isOpen).length + 1,
    quotas.participantTransfers,
  );
  requireWithin('participantBytes', bytes(own) + size, quotas.participantBytes);
  requireWithin('inputBytes', bytes(existing) + size, quotas.inputBytes);
  const left = Math.max(0, free - existing.reduce((sum, each) => sum + each.remaining, 0));
  if (size > left) {
    throw new CocosError(
      'LIMIT_EXCEEDED',
      `The enclave has ${left} bytes left for inputs; this one needs ${size}. Create the enclave with more memory.`,
      { details: { free: left } },
    );
  }
}

function requireWithin(quota: keyof Quotas, wanted: number, limit: number): void {
  if (wanted <= limit) return;
  throw new CocosError(
    'QUOTA_EXCEEDED',
    `The manifest's quota '${quota}' is ${limit}; this transfer would bring it to ${wanted}.`,
    { details: { quota, limit, wanted } },
  );
}
