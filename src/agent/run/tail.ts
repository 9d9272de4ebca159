/** The last items of a sequence, bounded in number and in bytes. */
export class Tail<T> {
  /** Items that were added and are not kept. */
  dropped = 0;
  private readonly limit: number;
  private readonly maxBytes: number;
  private readonly kept: { readonly item: T; readonly bytes: number }[] = [];
  private bytes = 0;

  constructor(limit: number, maxBytes: number) {
    this.limit = limit;
    this.maxBytes = maxBytes;
  }

  add(item: T, bytes: number): void {
    this.kept.push({ item, bytes });
    this.bytes += bytes;
    while (this.kept.length > this.limit || this.bytes > this.maxBytes) {
      this.bytes -= this.kept.shift()?.bytes ?? 0;
      this.dropped += 1;
    }
  }

  items(): T[] {
    return this.kept.map(({ item }) => item);
  }
}
