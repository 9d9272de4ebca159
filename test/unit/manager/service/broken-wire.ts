import net from 'node:net';

/** Stands between a manager and its service, and cuts every connection after so many bytes, in mid-frame. */
export interface BrokenWire {
  readonly port: number;
  /** Connections that were cut. */
  readonly cuts: number;
  close(): Promise<void>;
}

/**
 * @param target port of the service, asked for at each connection.
 * @param cutAfter bytes from the manager after which the next connection is cut; null lets it be.
 */
export async function breakWire(target: () => number, cutAfter: () => number | null): Promise<BrokenWire> {
  const open = new Set<net.Socket>();
  let cuts = 0;
  const server = net.createServer((manager) => {
    const service = net.connect(target(), '127.0.0.1');
    const end = () => {
      manager.destroy();
      service.destroy();
    };
    for (const socket of [manager, service]) {
      open.add(socket);
      socket.on('error', end).on('close', () => {
        open.delete(socket);
        end();
      });
    }
    let left = cutAfter() ?? Number.POSITIVE_INFINITY;
    manager.on('data', (chunk) => {
      service.write(chunk.subarray(0, Math.min(left, chunk.length)));
      left -= chunk.length;
      if (left > 0) return;
      cuts += 1;
      end();
    });
    service.pipe(manager);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return {
    port: address instanceof Object ? address.port : 0,
    get cuts() {
      return cuts;
    },
    close: async () => {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
