import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { qmpCommands } from '../../src/manager/guests/vm/qmp.ts';

/**
 * Finds a guest whose only processor goes round in one place for ever, as firmware does that refuses to go on. What
 * counts is the processor time of QEMU and not the clock, so that a guest on a busy machine is not taken for one.
 */

/** Looks in the same place, one after the other: a booting guest was seen to have 9 of 20 within 16 bytes. */
const LOOKS = 20;
/** Processor time between two looks, in clock ticks of 10 ms. */
const TICKS = 5;
/** Only ends what hangs. */
const LIMIT_MS = 600_000;

/**
 * @param pid of QEMU
 * @param socket of its QMP
 * @returns a function that looks when the guest has worked on since it did last; true when the guest goes round in one place
 */
export function watchForSpin(pid: number, socket: string): () => Promise<boolean> {
  const qmp = qmpCommands(socket);
  let place = '';
  let looks = 0;
  let lookedAt = 0;
  return async () => {
    const now = ticksOf(pid);
    if (now - lookedAt < TICKS) return false;
    lookedAt = now;
    // A processor that runs has its registers elsewhere.
    const isServed = await qmp.execute('stop', {}, LIMIT_MS).then(
      () => true,
      (error: unknown) => {
        // The socket exists a moment before QEMU listens on it.
        if (looks > 0) throw error;
        return false;
      },
    );
    if (!isServed) return false;
    const command = { 'command-line': 'info registers' };
    const registers = z.string().parse(await qmp.execute('human-monitor-command', command, LIMIT_MS));
    await qmp.execute('cont', {}, LIMIT_MS);
    const found = /\b[RE]IP=([0-9a-f]+)/.exec(registers)?.[1];
    if (found === undefined) throw new Error(`QEMU tells no instruction pointer: ${registers}`);
    looks = found === place ? looks + 1 : 1;
    place = found;
    return looks >= LOOKS;
  };
}

/** Processor time that a process has used, in clock ticks. */
function ticksOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? [];
  return Number(fields[11]) + Number(fields[12]);
}
