import type { Transition } from '../../link/mirror/mirror.ts';
import { addedWeight } from '../../link/mirror/weight.ts';

export type DirectoryItem =
  | { readonly kind: 'transition'; readonly sequence: number; readonly transition: Transition }
  | { readonly kind: 'removed'; readonly sequence: number; readonly address: string };

/** What one enclave may leave in the history. */
export interface HistoryLimits {
  readonly items: number;
  /** Of the contexts that its transitions hold. */
  readonly bytes: number;
}

export const HISTORY_LIMITS: HistoryLimits = { items: 10_000, bytes: 4 * 2 ** 20 };

/** What an item costs beside its context. */
const ITEM_BYTES = 400;

type Context = Readonly<Record<string, unknown>>;

interface Kept {
  readonly item: DirectoryItem;
  readonly bytes: number;
}

/** The items of one enclave, or of the manager's other actors, or of all enclaves that were removed. */
interface Part {
  kept: Kept[];
  /** Index of the oldest item that counts. */
  first: number;
  bytes: number;
  /** Sequence number of the last item that is not kept any more; 0 for none. */
  dropped: number;
}

/**
 * The last transitions, for watchers that come back. Each enclave has its own share, so that one with many or large
 * transitions displaces no other's.
 */
export class History {
  private readonly limits: HistoryLimits;
  private readonly firstSequence: number;
  private readonly parts = new Map<string, Part>();
  private readonly removed: Part = newPart();

  constructor(firstSequence: number, limits: HistoryLimits) {
    this.firstSequence = firstSequence;
    this.limits = limits;
  }

  /** @param before context that the same actor had in the item before; null for none */
  add(item: DirectoryItem, before: Context | null): void {
    const owner = ownerOf(addressOf(item));
    const part = this.parts.get(owner) ?? newPart();
    this.parts.set(owner, part);
    const context = item.kind === 'transition' ? addedWeight(item.transition.after.context, before) : 0;
    this.append(part, { item, bytes: ITEM_BYTES + context });
  }

  /** Gives up the share of an enclave that is gone. What it left is kept with that of others that are gone. */
  close(enclave: string): void {
    const part = this.parts.get(enclave);
    if (part === undefined) return;
    this.parts.delete(enclave);
    this.removed.dropped = Math.max(this.removed.dropped, part.dropped);
    const all = [...this.removed.kept.slice(this.removed.first), ...part.kept.slice(part.first)];
    all.sort((one, other) => one.item.sequence - other.item.sequence);
    Object.assign(this.removed, { kept: [], first: 0, bytes: 0 });
    for (const kept of all) this.append(this.removed, kept);
  }

  /** Items under `prefix` after a sequence number, or null when some of them are not kept any more. */
  since(prefix: string, sequence: number): DirectoryItem[] | null {
    if (sequence < this.firstSequence) return null;
    const found: DirectoryItem[] = [];
    for (const part of this.partsUnder(prefix)) {
      if (part.dropped > sequence) return null;
      for (const { item } of part.kept.slice(part.first)) {
        if (item.sequence > sequence && isUnder(addressOf(item), prefix)) found.push(item);
      }
    }
    return found.sort((one, other) => one.sequence - other.sequence);
  }

  private partsUnder(prefix: string): Part[] {
    const own = this.parts.get(ownerOf(prefix));
    if (own !== undefined) return [own];
    const parts = [...this.parts].filter(([owner]) => isUnder(owner, prefix)).map(([, part]) => part);
    return [...parts, this.removed];
  }

  private append(part: Part, kept: Kept): void {
    part.kept.push(kept);
    part.bytes += kept.bytes;
    const { items, bytes } = this.limits;
    while (part.kept.length - part.first > items || part.bytes > bytes) {
      const oldest = part.kept[part.first];
      if (oldest === undefined) break;
      part.bytes -= oldest.bytes;
      part.dropped = oldest.item.sequence;
      part.first += 1;
    }
    // Seldom, since it copies what is left.
    if (part.first * 2 <= part.kept.length) return;
    part.kept = part.kept.slice(part.first);
    part.first = 0;
  }
}

function newPart(): Part {
  return { kept: [], first: 0, bytes: 0, dropped: 0 };
}

/** Who is charged for an actor: its enclave, or itself. */
function ownerOf(address: string): string {
  return address.split('/').slice(0, 2).join('/');
}

export function addressOf(item: DirectoryItem): string {
  return item.kind === 'transition' ? item.transition.address : item.address;
}

/** `enclave/7f3a` matches itself and all below it; the empty prefix matches everything. */
export function isUnder(address: string, prefix: string): boolean {
  return (
    prefix === '' || address === prefix || address.startsWith(prefix.endsWith('/') ? prefix : `${prefix}/`)
  );
}
