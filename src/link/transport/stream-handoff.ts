import type { Duplex } from 'node:stream';
import { CocosError } from '../../errors.ts';

/** Passes incoming streams to a waiting caller. The newest wins, since a peer that reconnects has abandoned the older. */
export class StreamHandoff<T extends Duplex> {
  private held: T | null = null;
  private taker: ((stream: T) => void) | null = null;

  give(stream: T): void {
    const { taker } = this;
    this.taker = null;
    if (taker !== null) return taker(stream);
    this.held?.destroy();
    stream.once('close', () => {
      if (this.held === stream) this.held = null;
    });
    stream.on('error', () => stream.destroy());
    this.held = stream;
  }

  /** The held stream, or the next one. @throws CocosError CANCELLED when the signal aborts first */
  take(signal: AbortSignal): Promise<T> {
    const { held } = this;
    this.held = null;
    if (held !== null) return Promise.resolve(held);
    return new Promise((resolve, reject) => {
      this.taker = resolve;
      signal.addEventListener('abort', () => {
        if (this.taker === resolve) this.taker = null;
        reject(new CocosError('CANCELLED', 'The wait for a stream was cancelled.'));
      });
    });
  }

  close(): void {
    this.held?.destroy();
    this.held = null;
  }
}
