import { type Duplex, pipeline } from 'node:stream';

/** Carries bytes between two streams, both ways. vsock carries no half-close, so the end of either side ends both. */
export function joinStreams(one: Duplex, other: Duplex): void {
  const end = () => {
    one.destroy();
    other.destroy();
  };
  pipeline(one, other, end);
  pipeline(other, one, end);
}
