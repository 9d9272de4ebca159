import type { Transition } from '../../link/mirror/mirror.ts';

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
/** Enclaves that may use their bytes in full; when there are more, all of them have the bytes of so many together. */
const FULL_SHARES = 4;

/** The items of one enclave, or of the manager's other actors, or of all enclaves that were removed. */
export interface Part {
  items: DirectoryItem[];
  /** Bytes that each of them is charged with. */
  weights: number[];
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

  /** Where the items of an actor are kept. */
  partOf(address: string): Part {
    const owner = ownerOf(address);
    const known = this.parts.get(owner);
    if (known !== undefined) return known;
    const part = newPart();
    this.parts.set(owner, part);
    return part;
  }

  /** @param contextBytes what the item's context adds to those that are kept */
  add(part: Part, item: DirectoryItem, contextBytes: number): void {
    this.append(part, item, ITEM_BYTES + contextBytes);
  }

  /** Gives up the share of an enclave that is gone. What it left is kept with that of others that are gone. */
  close(enclave: string): void {
    const part = this.parts.get(enclave);
    if (part === undefined) return;
    this.parts.delete(enclave);
    this.removed.dropped = Math.max(this.removed.dropped, part.dropped);
    const kept = [this.removed, part].flatMap(({ items, weights, first }) =>
      items.slice(first).map((item, index) => ({ item, bytes: weights[first + index] ?? 0 })),
    );
    kept.sort((one, other) => one.item.sequence - other.item.sequence);
    Object.assign(this.removed, { items: [], weights: [], first: 0, bytes: 0 });
    for (const { item, bytes } of kept) this.append(this.removed, item, bytes);
  }

  /** Items under `prefix` after a sequence number, or null when some of them are not kept any more. */
  since(prefix: string, sequence: number): DirectoryItem[] | null {
    if (sequence < this.firstSequence) return null;
    const found: DirectoryItem[] = [];
    for (const part of this.partsUnder(prefix)) {
      if (part.dropped > sequence) return null;
      for (const item of part.items.slice(part.first)) {
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

  private append(part: Part, item: DirectoryItem, weight: number): void {
    part.items.push(item);
    part.weights.push(weight);
    part.bytes += weight;
    const { items } = this.limits;
    const bytes = this.limits.bytes * Math.min(1, FULL_SHARES / this.parts.size);
    while (part.items.length - part.first > items || part.bytes > bytes) {
      const oldest = part.items[part.first];
      if (oldest === undefined) break;
      part.bytes -= part.weights[part.first] ?? 0;
      part.dropped = oldest.sequence;
      part.first += 1;
    }
    // Seldom, since it copies what is left.
    if (part.first * 2 <= part.items.length) return;
    part.items = part.items.slice(part.first);
    part.weights = part.weights.slice(part.first);
    part.first = 0;
  }
}

function newPart(): Part {
  return { items: [], weights: [], first: 0, bytes: 0, dropped: 0 };
}

/** Who is charged for an actor: its enclave, or itself. */
function ownerOf(address: string): string {
  const end = address.indexOf('/', address.indexOf('/') + 1);
  return end === -1 ? address : address.slice(0, end);
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
