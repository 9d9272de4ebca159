import { Server, ServerCredentials } from '@grpc/grpc-js';
import { CHANNEL_OPTIONS, tlsFiles } from './protocol.ts';
import { addSink } from './sink-service.ts';

/** The sink as a process on this host. Prints its port. */
const tls = process.argv[2] === 'tls';
const server = new Server(CHANNEL_OPTIONS);
addSink(server);
const { certificate, key } = tls ? tlsFiles() : { certificate: null, key: null };
const secure =
  certificate === null || key === null
    ? ServerCredentials.createInsecure()
    : ServerCredentials.createSsl(null, [{ private_key: key, cert_chain: certificate }]);
server.bindAsync('127.0.0.1:0', secure, (error, port) => {
  if (error !== null) throw error;
  console.log(port);
});
