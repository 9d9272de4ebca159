import { parentPort } from 'node:worker_threads';
import { CocosError } from '../../errors.ts';
import { connectDial } from '../../link/transport/dial.ts';
import type { Dial } from '../../link/transport/transport.ts';
import { openRelay, RELAY_BUFFER_BYTES, type Relay } from './relay.ts';
import type { RelayCommand, RelayEvent } from './relay-messages.ts';

interface Entry {
  readonly relay: Promise<Relay>;
  dial: Dial | null;
}

/** The relay thread: opens and closes relays as it is told, and carries their bytes. */
export function serveRelays(): void {
  const entries = new Map<number, Entry>();
  const tell = (news: RelayEvent) => parentPort?.postMessage(news);
  parentPort?.on('message', (order: RelayCommand) => {
    const { id } = order;
    if (order.type === 'route') {
      const entry = entries.get(id);
      if (entry !== undefined) entry.dial = order.dial;
      return tell({ type: 'done', id });
    }
    if (order.type === 'close') {
      const entry = entries.get(id);
      entries.delete(id);
      const closed = entry?.relay.then((relay) => relay.close()) ?? Promise.resolve();
      closed.catch(() => undefined).finally(() => tell({ type: 'done', id }));
      return;
    }
    const relay = openRelay({ at: order.at, connect: () => connectGuest(entries.get(id)) });
    entries.set(id, { relay, dial: order.dial });
    relay.then(
      ({ address }) => tell({ type: 'opened', id, address }),
      (thrown: unknown) => tell({ type: 'failed', id, cause: CocosError.from(thrown).toJSON() }),
    );
  });
}

function connectGuest(entry: Entry | undefined) {
  const dial = entry?.dial ?? null;
  if (dial !== null) return connectDial(dial, RELAY_BUFFER_BYTES);
  return Promise.reject(new CocosError('AGENT_UNAVAILABLE', 'The enclave is not running yet.'));
}
