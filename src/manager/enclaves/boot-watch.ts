import { open } from 'node:fs/promises';
import type { EnclaveEvent } from '../../machines/enclave.events.ts';
import type { LogLimit } from './log-limit.ts';

/** Reads the progress of a boot from the guest's console. The guest may write anything there. */

const POLL_MS = 200;
/** init writes no longer line than this. */
const MAX_LINE = 1_000;
const MAX_STEPS = 64;
const PART_BYTES = 64 * 1024;
/** Read between two measurements of the file. */
const TURN_BYTES = 8 * 1024 * 1024;
const STEP = /^COCOS-BOOT ([a-z][a-z-]{0,31})$/;
const FAILURE = /COCOS-INIT-FAILED: ([a-z][a-z-]{0,31}): ([\x20-\x7e]{1,200})/;
const PANIC = /Kernel panic - not syncing[\x20-\x7e]*/;
/** What OVMF prints when Secure Boot refuses an image. */
const REFUSAL = /Secure boot image verification failed|(?:Access Denied|Security Violation)$/;
const FIRMWARE_STEP = 'firmware';

export interface BootWatch {
  /** Reads what is left and stops; true when a failure was reported. */
  end(): Promise<boolean>;
  /** Stops at once and reports nothing more. */
  stop(): void;
}

/**
 * Reports the steps of a boot, and at most one failure, until it is ended.
 *
 * @param file receives the guest's console
 * @param lastStep the step that was reported last of this boot; null for a boot that was not watched yet. Steps up to
 * the last occurrence of it that is already in the file are not reported again.
 * @param limit is enforced on the file after each reading; null for none
 */
export function watchBoot(
  file: string,
  send: (event: EnclaveEvent) => void,
  lastStep: string | null,
  limit: LogLimit | null = null,
): BootWatch {
  const reports = new BootReports(send, lastStep);
  let offset = 0;
  let rest = '';
  let isStopped = false;
  /** Reads `count` bytes at most, in parts; true at the end of the file. */
  const readMore = async (count: number): Promise<boolean> => {
    const handle = await open(file, 'r').catch(() => null);
    if (handle === null) return true;
    try {
      const part = Buffer.alloc(PART_BYTES);
      for (const end = offset + count; offset < end && !isStopped; ) {
        const { bytesRead } = await handle.read(part, 0, PART_BYTES, offset);
        if (bytesRead === 0) return true;
        offset += bytesRead;
        const lines = (rest + part.toString('latin1', 0, bytesRead)).split(/\r?\n/);
        rest = (lines.pop() ?? '').slice(-MAX_LINE);
        for (const line of lines) reports.add(line.slice(0, MAX_LINE));
      }
      return false;
    } finally {
      await handle.close();
    }
  };
  const poll = async (): Promise<void> => {
    if (await readMore(TURN_BYTES)) reports.flush();
    // What was not read by then is skipped: a guest that writes faster than that reports nothing.
    offset = (await limit?.enforce()) ?? offset;
  };
  let turn: Promise<void> = Promise.resolve();
  const next = (run: () => Promise<void>): Promise<void> => {
    turn = turn.then(run, run);
    return turn;
  };
  const timer = setInterval(() => void next(poll).catch(() => undefined), POLL_MS).unref();
  return {
    async end() {
      clearInterval(timer);
      // The guest has ended, so the file has an end too.
      await next(async () => void (await readMore(Number.POSITIVE_INFINITY))).catch(() => undefined);
      if (isStopped) return false;
      reports.add(rest);
      reports.flush();
      return reports.hasFailed;
    },
    stop() {
      isStopped = true;
      clearInterval(timer);
      reports.stop();
    },
  };
}

/** What is reported of the lines of a console. */
class BootReports {
  hasFailed = false;
  private send: (event: EnclaveEvent) => void;
  private readonly lastStep: string | null;
  private steps = 0;
  /** Found by the first reading since the step that was reported last; null when that reading is over. */
  private found: EnclaveEvent[] | null = [];
  private failure: EnclaveEvent | null = null;

  constructor(send: (event: EnclaveEvent) => void, lastStep: string | null) {
    this.send = send;
    this.lastStep = lastStep;
    if (lastStep === null) this.found = null;
  }

  add(line: string): void {
    const step = STEP.exec(line)?.[1];
    if (step !== undefined && step === this.lastStep && this.found !== null) this.found = [];
    else if (step !== undefined && this.steps < MAX_STEPS) {
      this.steps += 1;
      const event = { type: 'boot.progressed', step } as const;
      if (this.found === null) this.send(event);
      else this.found.push(event);
    }
    if (this.hasFailed) return;
    const failure = failureIn(line);
    if (failure === null) return;
    this.hasFailed = true;
    if (this.found === null) this.send(failure);
    else this.failure = failure;
  }

  /** The first reading has come to the end of the file. */
  flush(): void {
    const { found, failure } = this;
    this.found = null;
    this.failure = null;
    for (const event of found ?? []) this.send(event);
    if (failure !== null) this.send(failure);
  }

  stop(): void {
    this.send = () => undefined;
  }
}

function failureIn(line: string): EnclaveEvent | null {
  const panic = PANIC.exec(line)?.[0];
  if (panic !== undefined) return { type: 'vm.panicked', line: panic.slice(0, 500) };
  const [, step, reason] = FAILURE.exec(line) ?? [];
  if (step !== undefined && reason !== undefined) return { type: 'boot.failed', step, reason };
  const refusal = line.includes('OVMF') || line.includes('BdsDxe') ? REFUSAL.exec(line)?.[0] : undefined;
  if (refusal === undefined) return null;
  return { type: 'boot.failed', step: FIRMWARE_STEP, reason: `the kernel image was refused: ${refusal}` };
}
