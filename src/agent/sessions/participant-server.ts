import type { Duplex } from 'node:stream';
import { CocosError } from '../../errors.ts';
import type { Listener, Transport } from '../../link/transport/transport.ts';
import { BULK_MAGIC, isBulk } from '../../rpc/bulk.ts';
import type { ParticipantService } from './participant-service.ts';

/** A connection without a first message is closed after this long. */
const FIRST_BYTES_MS = 10_000;
/** Simultaneous connections; a relay carries as many. */
const CONNECTION_LIMIT = 64;

/** A gRPC server that accepts existing connections. */
interface Injector {
  inject(stream: Duplex): void;
  close(): void;
}

/** One segment and its framing. Larger segments need the bulk stream. */
const MAX_MESSAGE_BYTES = 1024 * 1024 + 64 * 1024;

/**
 * Serves participants on a port of the transport. The channel is plain, since everything secret is sealed. The first
 * bytes of a connection distinguish HTTP/2 from a bulk stream. The first connection loads the servers, so that the
 * agent is ready earlier.
 */
export async function openParticipantServer(
  service: ParticipantService,
  transport: Transport,
  port: number,
): Promise<Listener & { load(): Promise<void> }> {
  let server: Promise<Injector> | null = null;
  const load = (): Promise<Injector> => {
    server ??= openServer(service);
    return server;
  };
  const open = new Set<Duplex>();
  const listener = await transport.listen(port, (stream) => {
    if (open.size >= CONNECTION_LIMIT) return void stream.destroy();
    open.add(stream);
    stream.once('close', () => open.delete(stream));
    stream.on('error', () => stream.destroy());
    route(stream).catch(() => stream.destroy());
  });
  const route = async (stream: Duplex) => {
    if (!(await beginsBulk(stream))) return (await load()).inject(stream);
    const { serveBulk } = await import('./bulk-server.ts');
    await serveBulk(service, stream);
  };
  return {
    load: async () => void (await load()),
    close: async () => {
      await listener.close();
      if (server !== null) (await server).close();
    },
  };
}

/** Whether a connection is a bulk stream; its first bytes are put back. */
async function beginsBulk(stream: Duplex): Promise<boolean> {
  const timer = setTimeout(() => stream.destroy(), FIRST_BYTES_MS);
  let start = Buffer.alloc(0);
  try {
    while (start.length < BULK_MAGIC.length) {
      const more: Buffer | null = stream.read();
      if (more === null) await readable(stream);
      else start = Buffer.concat([start, more]);
    }
  } finally {
    clearTimeout(timer);
  }
  stream.pause();
  stream.unshift(start);
  return isBulk(start);
}

/** Resolves when more can be read. @throws CocosError STREAM_TRUNCATED at the end of the stream */
function readable(stream: Duplex): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (isMore: boolean) => {
      stream.off('readable', onReadable).off('end', onEnd).off('close', onEnd);
      if (isMore) resolve();
      else reject(new CocosError('STREAM_TRUNCATED', 'The connection ended before its first message.'));
    };
    const onReadable = () => settle(true);
    const onEnd = () => settle(false);
    stream.once('readable', onReadable).once('end', onEnd).once('close', onEnd);
  });
}

async function openServer(service: ParticipantService): Promise<Injector> {
  const [{ Server, ServerCredentials }, { AgentServiceService }, { participantService }] = await Promise.all([
    import('@grpc/grpc-js'),
    import('../../rpc/gen/cocosai/agent/v1/agent.ts'),
    import('./participant-grpc.ts'),
  ]);
  const server = new Server({
    'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
    'grpc.max_concurrent_streams': 64,
  });
  server.addService(AgentServiceService, participantService(service));
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  return {
    inject: (stream) => injector.injectConnection(stream),
    close: () => {
      injector.destroy();
      server.forceShutdown();
    },
  };
}
