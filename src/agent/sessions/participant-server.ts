import type { Duplex } from 'node:stream';
import { CocosError } from '../../errors.ts';
import type { Listener, Transport } from '../../link/transport/transport.ts';
import { BULK_MAGIC, isBulk } from '../../rpc/bulk.ts';
import { type Connection, Connections, type Stage } from './connections.ts';
import type { ParticipantService } from './participant-service.ts';

/** A connection without a first message is closed after this long. */
const FIRST_BYTES_MS = 10_000;
/** Serves gRPC on existing connections. */
interface GrpcHost {
  serve(stream: Duplex, connection: Connection): void;
  close(): void;
}

/** One segment and its framing. Larger segments need the bulk stream. */
const MAX_MESSAGE_BYTES = 1024 * 1024 + 64 * 1024;
/** The longest message before a connection has a session: an opening with its keys and signature, or a sealed call. */
const MAX_FIRST_MESSAGE_BYTES = 16 * 1024;
/** Requests of one connection at once. Each may hold one unfinished message and, by Node's default, 64 KiB of headers. */
const MAX_REQUESTS = 8;

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
  let host: Promise<GrpcHost> | null = null;
  const load = (): Promise<GrpcHost> => {
    host ??= loadGrpc(service);
    return host;
  };
  const connections = new Connections();
  const listener = await transport.listen(port, (stream) => {
    stream.on('error', () => stream.destroy());
    const connection = connections.admit(stream);
    if (connection !== null) route(stream, connection).catch(() => stream.destroy());
  });
  const route = async (stream: Duplex, connection: Connection) => {
    if (!(await beginsBulk(stream))) {
      const grpc = await load();
      if (!stream.destroyed) grpc.serve(stream, connection);
      return;
    }
    const { serveBulk } = await import('./bulk-server.ts');
    await serveBulk(service, stream, connection);
  };
  return {
    load: async () => void (await load()),
    close: async () => {
      await listener.close();
      if (host !== null) (await host).close();
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

async function loadGrpc(service: ParticipantService): Promise<GrpcHost> {
  const [{ Server, ServerCredentials }, { AgentServiceService }, { participantService }] = await Promise.all([
    import('@grpc/grpc-js'),
    import('../../rpc/gen/cocosai/agent/v1/agent.ts'),
    import('./participant-grpc.ts'),
  ]);
  const closes = new Set<() => void>();
  return {
    // One server for each connection, since the limit on messages depends on what the connection has achieved.
    serve: (stream, connection) => {
      const options = {
        'grpc.max_receive_message_length': MAX_FIRST_MESSAGE_BYTES,
        'grpc.max_concurrent_streams': MAX_REQUESTS,
        'grpc.enable_channelz': 0,
      };
      const server = new Server(options);
      const reach = (stage: Stage) => {
        connection.reach(stage);
        // The library reads the option at the beginning of each request.
        if (connection.stage === 'session') options['grpc.max_receive_message_length'] = MAX_MESSAGE_BYTES;
      };
      server.addService(AgentServiceService, participantService(service, reach));
      const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
      const close = () => {
        closes.delete(close);
        injector.destroy();
        server.forceShutdown();
      };
      closes.add(close);
      stream.once('close', close);
      injector.injectConnection(stream);
    },
    close: () => {
      for (const close of closes) close();
    },
  };
}
