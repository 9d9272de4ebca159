import { parentPort } from 'node:worker_threads';
import { CocosError } from '../../errors.ts';
import { connectDial } from '../../link/transport/dial.ts';
import type { Dial } from '../../link/transport/transport.ts';
import { openGateway } from './gateway.ts';
import { openRelay, RELAY_BUFFER_BYTES, type Relay } from './relay.ts';
import type { RelayCommand, RelayEvent } from './relay-messages.ts';

interface Entry {
  readonly relay: Promise<Relay>;
  dial: Dial | null;
}

/** The relay thread: opens and closes relays on command, and carries their bytes. */
export function serveRelays(): void {
  const entries = new Map<number, Entry>();
  /** Enclaves that the gateway finds. */
  const enrolled = new Map<string, Dial>();
  const emit = (event: RelayEvent) => parentPort?.postMessage(event);
  const open = (id: number, relay: Promise<Relay>, dial: Dial | null) => {
    entries.set(id, { relay, dial });
    relay.then(
      ({ address }) => emit({ type: 'opened', id, address }),
      (thrown: unknown) => emit({ type: 'failed', id, cause: CocosError.from(thrown).toJSON() }),
    );
  };
  const find = (enclave: string) => {
    const dial = enrolled.get(enclave);
    return dial === undefined ? null : () => connectDial(dial, RELAY_BUFFER_BYTES);
  };
  parentPort?.on('message', (command: RelayCommand) => {
    switch (command.type) {
      case 'open': {
        const { id, at } = command;
        return open(id, openRelay({ at, connect: () => connectGuest(entries.get(id)) }), command.dial);
      }
      case 'serve':
        return open(command.id, openGateway({ at: command.at, find }), null);
      case 'enroll':
        if (command.dial === null) enrolled.delete(command.enclave);
        else enrolled.set(command.enclave, command.dial);
        return;
      case 'route': {
        const entry = entries.get(command.id);
        if (entry !== undefined) entry.dial = command.dial;
        return emit({ type: 'done', id: command.id });
      }
      case 'close': {
        const { id } = command;
        const entry = entries.get(id);
        entries.delete(id);
        const closed = entry?.relay.then((relay) => relay.close()) ?? Promise.resolve();
        closed.catch(() => undefined).finally(() => emit({ type: 'done', id }));
        return;
      }
    }
  });
}

function connectGuest(entry: Entry | undefined) {
  const dial = entry?.dial ?? null;
  if (dial !== null) return connectDial(dial, RELAY_BUFFER_BYTES);
  return Promise.reject(new CocosError('AGENT_UNAVAILABLE', 'The enclave is not running yet.'));
}
