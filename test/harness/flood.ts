import { once } from 'node:events';
import http2 from 'node:http2';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** Requests that one connection begins, unless the server allows fewer. */
const STREAMS = 64;

/** Connections of a peer without a session, all to the same unix socket. */
export class Flood {
  /** Connections that were opened again after they were closed. */
  reopened = 0;
  private readonly file: string;
  private readonly open = new Set<net.Socket>();
  private readonly kept: Promise<void>[] = [];
  private isOver = false;

  constructor(file: string) {
    this.file = file;
  }

  /** Opens a connection that sends nothing. */
  async silent(): Promise<net.Socket> {
    const socket = this.connect();
    await once(socket, 'connect').catch(() => undefined);
    return socket;
  }

  /**
   * Opens a connection whose requests all begin with a message that never ends. Resolves when the server took or
   * refused what was sent.
   *
   * @param bytes of each message that are sent
   */
  async unfinished(bytes: number, header = 'x'): Promise<net.Socket> {
    const socket = this.connect();
    const session = http2.connect('http://agent', { createConnection: () => socket });
    session.on('error', () => undefined);
    const closed = new Promise<void>((resolve) => session.once('close', () => resolve()));
    const settled = new Promise<void>((resolve) => session.once('remoteSettings', () => resolve()));
    await Promise.race([settled, closed]);
    if (session.closed || session.destroyed) return socket;
    const head = Buffer.alloc(5);
    head.writeUInt32BE(bytes + 1, 1);
    const requests = Math.min(STREAMS, session.remoteSettings.maxConcurrentStreams ?? STREAMS);
    const sent = Array.from({ length: requests }, () => {
      const stream = session.request({
        ':method': 'POST',
        ':path': '/cocosai.agent.v1.AgentService/Upload',
        'content-type': 'application/grpc',
        te: 'trailers',
        'x-long': header,
      });
      stream.on('error', () => undefined);
      return new Promise<void>((resolve) => {
        stream.once('close', resolve).once('response', () => resolve());
        stream.write(Buffer.concat([head, Buffer.alloc(bytes)]), () => resolve());
      });
    });
    await Promise.race([Promise.all(sent), closed]);
    return socket;
  }

  /** Opens one again whenever it is closed, after a pause, until the flood is over. */
  async keep(kind: () => Promise<net.Socket>, pauseMs: number): Promise<void> {
    let socket = await kind();
    const again = async () => {
      while (!this.isOver) {
        if (!socket.destroyed) await new Promise((resolve) => socket.once('close', resolve));
        await sleep(pauseMs);
        if (this.isOver) return;
        this.reopened += 1;
        socket = await kind();
      }
    };
    this.kept.push(again());
  }

  async close(): Promise<void> {
    this.isOver = true;
    for (const socket of this.open) socket.destroy();
    await Promise.all(this.kept);
  }

  private connect(): net.Socket {
    const socket = net.connect(this.file).on('error', () => undefined);
    this.open.add(socket);
    socket.once('close', () => this.open.delete(socket));
    if (this.isOver) socket.destroy();
    return socket;
  }
}
