import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { Listener, Transport } from '../link/transport.ts';
import { AgentServiceService } from '../rpc/gen/cocosai/agent/v1/agent.ts';
import type { Desk } from './desk.ts';
import { participantService } from './participants.ts';

/** Room for one segment and its framing. */
const MAX_MESSAGE_BYTES = 1024 * 1024;

/** Serves participants on a port of the transport; what is secret is sealed, so the channel itself is plain. */
export async function openParticipantServer(
  desk: Desk,
  transport: Transport,
  port: number,
): Promise<Listener> {
  const server = new Server({
    'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
    'grpc.max_concurrent_streams': 64,
  });
  server.addService(AgentServiceService, participantService(desk));
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  const listener = await transport.listen(port, (stream) => injector.injectConnection(stream));
  return {
    close: async () => {
      await listener.close();
      injector.destroy();
      server.forceShutdown();
    },
  };
}
