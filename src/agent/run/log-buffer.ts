import type { FollowItem } from '../../rpc/sealed.ts';
import { Tail } from './tail.ts';

type LogItem = Extract<FollowItem, { kind: 'log' }>;

/** Lines and characters kept for consumers that start to follow late: of the head, and of the tail. */
const HEAD_LINES = 1_000;
const TAIL_LINES = 3_000;
const PART_LENGTH = 4 * 1024 * 1024;

/** The algorithm's log. It leaves the enclave only sealed to consumers. */
export class LogBuffer {
  private readonly head: LogItem[] = [];
  private readonly tail = new Tail<LogItem>(TAIL_LINES, PART_LENGTH);
  private headLength = 0;
  private readonly listeners = new Set<(item: LogItem) => void>();

  add(stream: 'stdout' | 'stderr', line: string): void {
    const item: LogItem = { kind: 'log', stream, line };
    // Once it is full, the head stays as it is.
    this.headLength += line.length;
    if (this.head.length < HEAD_LINES && this.headLength <= PART_LENGTH) this.head.push(item);
    else this.tail.add(item, line.length);
    for (const listener of this.listeners) listener(item);
  }

  lines(): readonly LogItem[] {
    const { dropped } = this.tail;
    const gap: LogItem = { kind: 'log', stream: 'stderr', line: `[${dropped} lines are left out here]` };
    return [...this.head, ...(dropped > 0 ? [gap] : []), ...this.tail.items()];
  }

  listen(listener: (item: LogItem) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
}
