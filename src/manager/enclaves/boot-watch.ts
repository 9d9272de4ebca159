import { open } from 'node:fs/promises';
import type { EnclaveEvent } from '../../machines/enclave.events.ts';

/** Reads the progress of a boot from the guest's console. The guest may write anything there. */

const POLL_MS = 200;
/** init writes no longer line than this. */
const MAX_LINE = 1_000;
const MAX_STEPS = 64;
const PART_BYTES = 64 * 1024;
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
 */
export function watchBoot(
  file: string,
  send: (event: EnclaveEvent) => void,
  lastStep: string | null,
): BootWatch {
  let offset = 0;
  let rest = '';
  let steps = 0;
  let hasFailed = false;
  let isStopped = false;
  /** Lines of the first reading that were reported before. */
  let known: number | null = lastStep === null ? 0 : null;
  const read = (line: string, isKnown: boolean): void => {
    if (isStopped) return;
    const step = STEP.exec(line)?.[1];
    if (step !== undefined && steps < MAX_STEPS) {
      steps += 1;
      if (!isKnown) send({ type: 'boot.progressed', step });
    }
    if (hasFailed) return;
    const failure = failureIn(line);
    if (failure === null) return;
    hasFailed = true;
    send(failure);
  };
  const readMore = async (): Promise<void> => {
    const { text, next } = await readFrom(file, offset);
    offset = next;
    const lines = (rest + text).split(/\r?\n/);
    rest = (lines.pop() ?? '').slice(-MAX_LINE);
    known ??= lines.findLastIndex((line) => STEP.exec(line)?.[1] === lastStep) + 1;
    for (const [index, line] of lines.entries()) read(line.slice(0, MAX_LINE), index < known);
    known = 0;
  };
  let turn: Promise<void> = Promise.resolve();
  const next = (): Promise<void> => {
    turn = turn.then(readMore, readMore);
    return turn;
  };
  const timer = setInterval(() => void next().catch(() => undefined), POLL_MS).unref();
  return {
    async end() {
      clearInterval(timer);
      await next().catch(() => undefined);
      read(rest, false);
      return hasFailed;
    },
    stop() {
      isStopped = true;
      clearInterval(timer);
    },
  };
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

async function readFrom(file: string, offset: number): Promise<{ text: string; next: number }> {
  const handle = await open(file, 'r').catch(() => null);
  if (handle === null) return { text: '', next: offset };
  try {
    const buffer = Buffer.alloc(PART_BYTES);
    let text = '';
    let next = offset;
    for (;;) {
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, next);
      if (bytesRead === 0) return { text, next };
      text += buffer.toString('latin1', 0, bytesRead);
      next += bytesRead;
    }
  } finally {
    await handle.close();
  }
}
