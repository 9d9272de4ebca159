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

/** The relay thread: opens and closes relays on command, and carries their bytes. */
export function serveRelays(): void {
  const entries = new Map<number, Entry>();
  const emit = (event: RelayEvent) => parentPort?.postMessage(event);
  parentPort?.on('message', (command: RelayCommand) => {
    const { id } = command;
    if (command.type === 'route') {
      const entry = entries.get(id);
      if (entry !== undefined) entry.dial = command.dial;
      return emit({ type: 'done', id });
    }
    if (command.type === 'close') {
      const entry = entries.get(id);
      entries.delete(id);
      const closed = entry?.relay.then((relay) => relay.close()) ?? Promise.resolve();
      closed.catch(() => undefined).finally(() => emit({ type: 'done', id }));
      return;
    }
    const relay = openRelay({ at: command.at, connect: () => connectGuest(entries.get(id)) });
    entries.set(id, { relay, dial: command.dial });
    relay.then(
      ({ address }) => emit({ type: 'opened', id, address }),
      (thrown: unknown) => emit({ type: 'failed', id, cause: CocosError.from(thrown).toJSON() }),
    );
  });
}

function connectGuest(entry: Entry | undefined) {
  const dial = entry?.dial ?? null;
  if (dial !== null) return connectDial(dial, RELAY_BUFFER_BYTES);
  return Promise.reject(new CocosError('AGENT_UNAVAILABLE', 'The enclave is not running yet.'));
}
