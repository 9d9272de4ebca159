import type { OmittedEntry } from '../../archive/tree.ts';
import type { LogPort } from '../ports.ts';

/** Entries that the log names; the receipt counts all. */
const NAMED_LIMIT = 100;

/** Names the entries that a result could not hold in the sealed log, and counts them. */
export class OmittedResults {
  count = 0;
  private readonly logs: LogPort;

  constructor(logs: LogPort) {
    this.logs = logs;
  }

  add({ name, why }: OmittedEntry): void {
    this.count += 1;
    if (this.count <= NAMED_LIMIT) this.logs.add('stderr', `cocos: left out of the result: ${name}: ${why}`);
  }

  end(): void {
    const more = this.count - NAMED_LIMIT;
    if (more > 0) this.logs.add('stderr', `cocos: left out of the result: ${more} more`);
  }
}
