import { mkdtemp, rm } from 'node:fs/promises';
import type net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { joinStreams } from '../../link/transport/join-streams.ts';
import { listenUnix } from '../../link/transport/unix.ts';
import type { RelayAddress } from './relay-address.ts';
import { dialRelay } from './relay-dial.ts';

/**
 * A socket of this user alone, through which the gRPC library reaches an agent behind a gateway: it connects to
 * addresses only, and a gateway needs a proxy's words first.
 */
export interface GrpcDoor {
  readonly path: string;
  close(): Promise<void>;
}

/** @throws CocosError AGENT_UNAVAILABLE with the reason when the agent cannot be reached */
export async function openGrpcDoor(relay: RelayAddress, environment: NodeJS.ProcessEnv): Promise<GrpcDoor> {
  // Made first, since the library would tell only that it failed.
  let first: net.Socket | null = await dialRelay(relay, environment);
  const folder = await mkdtemp(path.join(tmpdir(), 'cocos-g-'));
  const file = path.join(folder, 's');
  const open = new Set<net.Socket>();
  const listener = await listenUnix(file, (socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
    socket.on('error', () => socket.destroy());
    socket.pause();
    const ready = first === null ? dialRelay(relay, environment) : Promise.resolve(first);
    first = null;
    ready.then(
      (stream) => joinStreams(socket, stream),
      () => socket.destroy(),
    );
  });
  return {
    path: file,
    close: async () => {
      first?.destroy();
      for (const socket of open) socket.destroy();
      await listener.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
