import type { Duplex } from 'node:stream';
import type { Listener, Transport } from '../link/transport.ts';
import type { Desk } from './desk.ts';

/** Takes connections of participants. */
interface Injector {
  inject(stream: Duplex): void;
  close(): void;
}

/** Room for one segment and its framing. */
const MAX_MESSAGE_BYTES = 1024 * 1024;

/**
 * Serves participants on a port of the transport; what is secret is sealed, so the channel itself is plain. The server
 * is loaded with the first connection: an agent is ready before anybody needs it.
 */
export async function openParticipantServer(
  desk: Desk,
  transport: Transport,
  port: number,
): Promise<Listener & { load(): Promise<void> }> {
  let server: Promise<Injector> | null = null;
  const load = (): Promise<Injector> => {
    server ??= openServer(desk);
    return server;
  };
  const listener = await transport.listen(port, (stream) => {
    load().then(
      (injector) => injector.inject(stream),
      () => stream.destroy(),
    );
  });
  return {
    load: async () => void (await load()),
    close: async () => {
      await listener.close();
      if (server !== null) (await server).close();
    },
  };
}

async function openServer(desk: Desk): Promise<Injector> {
  const [{ Server, ServerCredentials }, { AgentServiceService }, { participantService }] = await Promise.all([
    import('@grpc/grpc-js'),
    import('../rpc/gen/cocosai/agent/v1/agent.ts'),
    import('./participants.ts'),
  ]);
  const server = new Server({
    'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
    'grpc.max_concurrent_streams': 64,
  });
  server.addService(AgentServiceService, participantService(desk));
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  return {
    inject: (stream) => injector.injectConnection(stream),
    close: () => {
      injector.destroy();
      server.forceShutdown();
    },
  };
}
