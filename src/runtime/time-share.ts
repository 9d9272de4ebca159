/** Part of this process's time that one peer may take for long. */
const SHARE = 0.25;
/** Milliseconds that it may take at once after it took little. */
const BURST_MS = 100;
/** The most that counts against it: the process itself may have been stopped meanwhile. */
const DEBT_MS = 250;

/** Accounts for the time that an untrusted peer takes of this process, so that the other peers are served as well. */
export class TimeShare {
  private creditMs = BURST_MS;
  private atMs: number;

  /** @param nowMs of a monotonic clock, as in every call */
  constructor(nowMs: number) {
    this.atMs = nowMs;
  }

  /**
   * Charges the peer for work.
   *
   * @returns milliseconds for which nothing more should be taken from the peer; 0 if it has not used up its share.
   */
  charge(costMs: number, nowMs: number): number {
    const credit = Math.min(BURST_MS, this.creditMs + Math.max(0, nowMs - this.atMs) * SHARE);
    this.creditMs = Math.max(-DEBT_MS, credit - costMs);
    this.atMs = nowMs;
    return this.creditMs < 0 ? -this.creditMs / SHARE : 0;
  }
}
