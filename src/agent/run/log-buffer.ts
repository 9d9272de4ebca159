import type { FollowItem } from '../../rpc/sealed.ts';

type LogItem = Extract<FollowItem, { kind: 'log' }>;

/** Lines kept for consumers that start to follow late. */
const LINE_LIMIT = 2_000;

/** The algorithm's log. It leaves the enclave only sealed to consumers. */
export class LogBuffer {
  private kept: LogItem[] = [];
  private readonly listeners = new Set<(item: LogItem) => void>();

  add(stream: 'stdout' | 'stderr', line: string): void {
    const item: LogItem = { kind: 'log', stream, line };
    this.kept.push(item);
    if (this.kept.length > LINE_LIMIT) this.kept = this.kept.slice(-LINE_LIMIT);
    for (const listener of this.listeners) listener(item);
  }

  lines(): readonly LogItem[] {
    return this.kept;
  }

  listen(listener: (item: LogItem) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
}
