import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { HostProcess } from './host-process.ts';
import { QmpClient } from './qmp.ts';

const POLL_MS = 20;

/** Waits for the first hello of a QEMU that has just been started; `ended` or `late` when none comes within the limit. */
export async function firstHello(
  qemu: HostProcess,
  socket: string,
  limitMs: number,
): Promise<QmpClient | 'ended' | 'late'> {
  let hasEnded = false;
  qemu.exited.then(() => {
    hasEnded = true;
  }, undefined);
  const deadline = performance.now() + limitMs;
  while (performance.now() < deadline) {
    if (hasEnded) return 'ended';
    if (existsSync(socket)) {
      try {
        return await QmpClient.connect(socket, deadline - performance.now());
      } catch {
        // The socket exists a moment before QEMU listens on it.
      }
    }
    await sleep(POLL_MS);
  }
  return 'late';
}
