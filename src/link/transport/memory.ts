import { Duplex } from 'node:stream';
import { CocosError } from '../../errors.ts';
import type { Transport } from './transport.ts';

/** A transport inside one process. Both sides use the same object. */
export function memoryTransport(): Transport {
  const listeners = new Map<number, (stream: Duplex) => void>();
  return {
    connect: (port) => {
      const onConnection = listeners.get(port);
      if (onConnection === undefined) {
        return Promise.reject(new CocosError('VSOCK_CONNECT', `Nothing listens on port ${port}.`));
      }
      const [near, far] = memoryPair();
      onConnection(far);
      return Promise.resolve(near);
    },
    listen: (port, onConnection) => {
      if (listeners.has(port))
        return Promise.reject(new CocosError('HOST_PORT_TAKEN', `Port ${port} is taken.`));
      const streams = new Set<Duplex>();
      listeners.set(port, (stream) => {
        streams.add(stream);
        stream.once('close', () => streams.delete(stream));
        onConnection(stream);
      });
      return Promise.resolve({
        close: () => {
          listeners.delete(port);
          for (const stream of streams) stream.destroy();
          return Promise.resolve();
        },
      });
    },
  };
}

/** Two connected streams with ordinary back-pressure. Like vsock they carry no half-close. */
export function memoryPair(): [Duplex, Duplex] {
  const near = new PairEnd();
  const far = new PairEnd();
  near.peer = far;
  far.peer = near;
  return [near, far];
}

class PairEnd extends Duplex {
  peer: PairEnd | null = null;
  /** Completes the peer's pending write once this end has been read. */
  private releaseWrite: ((error?: Error) => void) | null = null;

  constructor() {
    super({ allowHalfOpen: false });
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    const peer = this.peer;
    if (peer === null || peer.destroyed) return done(gone());
    if (peer.push(chunk)) return void queueMicrotask(() => done());
    peer.releaseWrite = done;
  }

  override _read(): void {
    const release = this.releaseWrite;
    this.releaseWrite = null;
    if (release !== null) queueMicrotask(() => release());
  }

  override _final(done: (error?: Error | null) => void): void {
    this.peer?.push(null);
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    const { peer, releaseWrite } = this;
    if (peer !== null && !peer.destroyed && !peer.readableEnded) peer.push(null);
    this.releaseWrite = null;
    releaseWrite?.(gone());
    done(error);
  }
}

function gone(): Error {
  return new Error('the peer closed the stream');
}
