import { renameSync } from 'node:fs';
import net from 'node:net';

/** Stands between participants and an enclave's relay, as its host could: it counts, cuts and alters. */
export interface CuttingRelay {
  /** Bytes from participants, by connection. */
  readonly sent: number[];
  /** Resolves when the relay has carried this many bytes from one participant's connection. */
  reached(bytes: number): Promise<void>;
  /** Cuts every connection there is now. */
  cut(): void;
  close(): Promise<void>;
}

interface CuttingRelayOptions {
  /** The connection that carries this many bytes is cut there, once. */
  readonly cutAt?: number;
  /** One bit of the byte at this position of a connection is flipped, once. */
  readonly flipAt?: number;
}

/** Takes the place of the relay at a unix socket, which goes on behind it. */
export async function cutRelay(socketFile: string, options: CuttingRelayOptions): Promise<CuttingRelay> {
  const behind = `${socketFile}.behind`;
  renameSync(socketFile, behind);
  const sent: number[] = [];
  const waiting = new Set<() => void>();
  const open = new Set<net.Socket>();
  let hasCut = false;
  let hasFlipped = false;
  const server = net.createServer((participant) => {
    const agent = net.connect({ path: behind });
    const number = sent.push(0) - 1;
    const end = () => {
      participant.destroy();
      agent.destroy();
    };
    for (const socket of [participant, agent]) {
      open.add(socket);
      socket.on('error', end).on('close', end);
    }
    participant.on('data', (chunk) => {
      const before = sent[number] ?? 0;
      const after = before + chunk.length;
      sent[number] = after;
      const { cutAt, flipAt } = options;
      if (flipAt !== undefined && !hasFlipped && after > flipAt) {
        hasFlipped = true;
        chunk.writeUInt8(chunk.readUInt8(flipAt - before) ^ 1, flipAt - before);
      }
      for (const wake of waiting) wake();
      if (cutAt !== undefined && !hasCut && after > cutAt) {
        hasCut = true;
        return end();
      }
      if (!agent.write(chunk)) {
        participant.pause();
        agent.once('drain', () => participant.resume());
      }
    });
    agent.pipe(participant);
  });
  await new Promise<void>((resolve) => server.listen(socketFile, resolve));
  return {
    sent,
    reached: (bytes) =>
      new Promise((resolve) => {
        const wake = () => {
          if (sent.every((count) => count < bytes)) return;
          waiting.delete(wake);
          resolve();
        };
        waiting.add(wake);
        wake();
      }),
    cut: () => {
      for (const socket of open) socket.destroy();
    },
    close: async () => {
      for (const socket of open) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      renameSync(behind, socketFile);
    },
  };
}
