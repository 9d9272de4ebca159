import { CocosError } from '../../errors.ts';
import type { Manifest } from '../../machines/manifest.ts';

/** Uploads of one participant under way at once, where the manifest says nothing. */
const PARTICIPANT_TRANSFERS = 16;
const MIB = 1024 * 1024;

/** What the parties agreed to let into the enclave. */
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

/** One input's claim on the enclave, from its opening until it is given up or the inputs are cleared. */
interface Reservation {
  readonly participant: string;
  readonly size: number;
  isOpen: boolean;
  /** Bytes that are still to come. */
  remaining: number;
}

/** Who has claimed what. Claims are made in one step, so that two that come at once cannot both have the last of it. */
export class QuotaReservations {
  private readonly all = new Map<string, Reservation>();

  /**
   * @param free bytes that the file system has to give
   * @throws CocosError QUOTA_EXCEEDED with the quota's name and bound; LIMIT_EXCEEDED when the room that is left is
   * promised to others
   */
  reserve(
    id: string,
    claim: { readonly participant: string; readonly size: number },
    quotas: Quotas,
    free: number,
  ): void {
    const { participant, size } = claim;
    const all = [...this.all.values()];
    const own = all.filter((each) => each.participant === participant);
    const bytes = (of: readonly Reservation[]) => of.reduce((sum, each) => sum + each.size, 0);
    requireWithin(
      'participantTransfers',
      own.filter((each) => each.isOpen).length + 1,
      quotas.participantTransfers,
    );
    requireWithin('participantBytes', bytes(own) + size, quotas.participantBytes);
    requireWithin('inputBytes', bytes(all) + size, quotas.inputBytes);
    const left = Math.max(0, free - all.reduce((sum, each) => sum + each.remaining, 0));
    if (size > left) {
      throw new CocosError('LIMIT_EXCEEDED', `The enclave has no room for ${size} bytes.`, {
        details: { free: left },
      });
    }
    this.all.set(id, { participant, size, isOpen: true, remaining: size });
  }

  arrived(id: string, bytes: number): void {
    const reservation = this.all.get(id);
    if (reservation !== undefined) reservation.remaining -= bytes;
  }

  commit(id: string): void {
    const reservation = this.all.get(id);
    if (reservation !== undefined) reservation.isOpen = false;
  }

  release(id: string): void {
    this.all.delete(id);
  }

  clear(): void {
    this.all.clear();
  }
}

function requireWithin(quota: keyof Quotas, wanted: number, limit: number): void {
  if (wanted <= limit) return;
  throw new CocosError('QUOTA_EXCEEDED', `The quota ${quota} is ${limit}, and ${wanted} were asked for.`, {
    details: { quota, limit, wanted },
  });
}
