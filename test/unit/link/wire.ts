import type { Duplex } from 'node:stream';
import { afterEach } from 'vitest';
import { createLink, type Link, type LinkOptions } from '../../../src/link/link.ts';
import { memoryPair } from '../../../src/link/transport/memory.ts';
import { StreamHandoff } from '../../../src/link/transport/stream-handoff.ts';

/** A dialling and a waiting end. The test holds the streams between them and can cut them. */
export class Wire {
  private streams: Duplex[] = [];
  private readonly waiting = new StreamHandoff<Duplex>();

  readonly dial = (): Promise<Duplex> => {
    const [near, far] = memoryPair();
    this.streams = [near, far];
    this.waiting.give(far);
    return Promise.resolve(near);
  };

  readonly accept = (signal: AbortSignal): Promise<Duplex> => this.waiting.take(signal);

  cut(): void {
    for (const stream of this.streams) stream.destroy();
  }
}

const started: Link[] = [];

afterEach(() => {
  for (const link of started.splice(0)) link.close();
});

/** A started link that is closed when the test ends. */
export function startLink(options: Partial<LinkOptions> & Pick<LinkOptions, 'role' | 'open'>): Link {
  const now = () => Math.floor(performance.now());
  const link = createLink({ bootId: options.role, enclaveId: null, now, ...options });
  started.push(link);
  link.start();
  return link;
}

/** For `expect.poll`. */
export const isLive = (link: Link) => () => link.isLive;
