import { setTimeout as sleep } from 'node:timers/promises';
import { CocosError } from '../../../errors.ts';
import type { GuestExit } from '../guest.ts';
import type { HostProcess } from './host-process.ts';
import type { QmpCommands } from './qmp.ts';

/** How long QEMU has to answer, and to end when it does not. */
const ANSWER_LIMIT_MS = 5_000;

/** What a process that serves a virtual machine gives it. */
export type Device = 'vtpm' | 'vsock';

const TITLES: Readonly<Record<Device, string>> = { vtpm: 'virtual TPM', vsock: 'vsock device' };

interface WatchedVm {
  readonly qemu: HostProcess;
  readonly qmp: QmpCommands;
  readonly vtpm: HostProcess | null;
  readonly vsock: HostProcess | null;
}

/**
 * Resolves with VM_DEVICE_LOST when a process that serves the machine ends before it: QEMU does not take either of
 * them back, so the enclave is lost. Both also end by themselves when QEMU does, perhaps a moment before QEMU is
 * gone: then it never resolves. Nor does it after `signal` has aborted.
 */
export function deviceLost({ qemu, qmp, vtpm, vsock }: WatchedVm, signal: AbortSignal): Promise<CocosError> {
  return new Promise((resolve) => {
    const watch = (device: Device, process: HostProcess | null): void => {
      process?.exited.then(async (exit) => {
        if ((await livesOn(qemu, qmp)) && !signal.aborted) resolve(lossOf(device, exit));
      }, undefined);
    };
    watch('vtpm', vtpm);
    watch('vsock', vsock);
  });
}

/** The error for a device whose process has ended; `exit` is null when nobody saw it end. */
export function lossOf(device: Device, exit: GuestExit | null): CocosError {
  const how =
    exit === null || (exit.code === null && exit.signal === null)
      ? 'while nobody watched it'
      : exit.signal === null
        ? `with exit code ${exit.code}`
        : `by ${exit.signal}`;
  return new CocosError('VM_DEVICE_LOST', `The process of the ${TITLES[device]} ended ${how}.`, {
    details: { device, exitCode: exit?.code ?? null, signal: exit?.signal ?? null },
  });
}

/** Whether QEMU goes on running. A QEMU that neither answers nor ends hangs, and counts as alive. */
export async function livesOn(qemu: HostProcess, qmp: QmpCommands): Promise<boolean> {
  const answered = qmp.execute('query-status', {}, ANSWER_LIMIT_MS).then(
    () => true,
    () => false,
  );
  if (await answered) return true;
  const timeout = new AbortController();
  const ended = await Promise.race([
    qemu.exited.then(() => true),
    sleep(ANSWER_LIMIT_MS, false, { signal: timeout.signal, ref: false }).catch(() => false),
  ]);
  timeout.abort();
  return !ended;
}
