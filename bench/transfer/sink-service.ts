import { randomBytes } from 'node:crypto';
import type { Server, ServerReadableStream, ServerWritableStream, sendUnaryData } from '@grpc/grpc-js';
import { CHUNK, SINK } from './protocol.ts';

/** The baseline's other end: takes bytes and forgets them, or gives as many as are asked for. */
export function addSink(server: Server): void {
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
}
