import { randomBytes } from 'node:crypto';
import {
  Server,
  ServerCredentials,
  type ServerReadableStream,
  type ServerWritableStream,
  type sendUnaryData,
} from '@grpc/grpc-js';
import { CHANNEL_OPTIONS, CHUNK, SINK, tlsFiles } from './protocol.ts';

/** The baseline's other end: takes bytes and forgets them, or gives as many as are asked for. Prints its port. */
const tls = process.argv[2] === 'tls';
const server = new Server(CHANNEL_OPTIONS);
server.addService(SINK, {
  upload: (call: ServerReadableStream<Buffer, Buffer>, callback: sendUnaryData<Buffer>) => {
    call.on('data', () => undefined).on('end', () => callback(null, Buffer.alloc(0)));
  },
  download: (call: ServerWritableStream<Buffer, Buffer>) => {
    const chunk = randomBytes(CHUNK);
    const send = async () => {
      for (let left = Number(call.request.toString()); left > 0; left -= chunk.length) {
        if (!call.write(chunk.subarray(0, Math.min(left, chunk.length)))) {
          await new Promise<void>((resolve) => call.once('drain', resolve));
        }
      }
      call.end();
    };
    send().catch((error: unknown) => call.destroy(error instanceof Error ? error : undefined));
  },
});
const { certificate, key } = tls ? tlsFiles() : { certificate: null, key: null };
const secure =
  certificate === null || key === null
    ? ServerCredentials.createInsecure()
    : ServerCredentials.createSsl(null, [{ private_key: key, cert_chain: certificate }]);
server.bindAsync('127.0.0.1:0', secure, (error, port) => {
  if (error !== null) throw error;
  console.log(port);
});
