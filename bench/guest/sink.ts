import { Server, ServerCredentials } from '@grpc/grpc-js';
import { PORTS } from '../../src/link/transport.ts';
import { listenVsock } from '../../src/link/vsock.ts';
import { CHANNEL_OPTIONS } from '../transfer/protocol.ts';
import { addSink } from '../transfer/sink-service.ts';

/** The sink in a guest, at the port where an agent serves participants. */
const server = new Server(CHANNEL_OPTIONS);
addSink(server);
const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
listenVsock(PORTS.participants, (socket) => injector.injectConnection(socket));
