import { mkdtempSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { ImageFiles } from '../../src/manager/guests/vm/boot-files.ts';
import { manufactureVtpm } from '../../src/manager/guests/vm/swtpm.ts';
import { launchVmGuest } from '../../src/manager/guests/vm/vm-guest.ts';

/** Boots an image whose agent is `report-agent.ts` and reads what it prints. */

const Quote = z.object({
  publicArea: z.string(),
  attest: z.string(),
  signature: z.string(),
  pcrs: z.record(z.string(), z.string()),
  eventLog: z.string(),
});

export interface GuestReport {
  readonly console: string;
  /** What the agent said under a name; undefined when it did not. */
  said(name: string): unknown;
  /** The vTPM's quote. */
  quote(): z.infer<typeof Quote>;
}

const POLL_MS = 200;

interface BootOptions {
  readonly scratchMiB?: number;
  readonly memoryMiB?: number;
  /** After which the guest is ended. */
  readonly limitMs?: number;
  /** Each is called with the guest's folder once its agent has said something of this name, in this order. */
  readonly meanwhile?: readonly { readonly said: string; act(folder: string): void | Promise<void> }[];
}

/**
 * @param folder an existing one, short, for sockets and state
 */
export async function bootForReport(
  image: ImageFiles,
  folder: string,
  { scratchMiB = 0, memoryMiB = 256, limitMs = 1_200_000, meanwhile = [] }: BootOptions = {},
): Promise<GuestReport & { readonly folder: string }> {
  const run = mkdtempSync(join(folder, 'r-'));
  const vtpmFolder = join(run, 'vtpm');
  await manufactureVtpm({
    folder: vtpmFolder,
    authority: join(folder, 'authority'),
    logPath: join(run, 'vtpm.log'),
  });
  const logFile = join(run, 'console.log');
  const guest = await launchVmGuest({
    ...{ image, vcpus: 1, vcpuType: 'EPYC-v3', memoryMiB, accelerator: 'auto' },
    ...{ socketDir: run, vtpmFolder, scratchMiB, logFile, notice: () => undefined },
  });
  const timer = setTimeout(() => void guest.kill().catch(() => undefined), limitMs);
  const ended = new AbortController();
  const acted = (async () => {
    for (const { said, act } of meanwhile) {
      while (!readFileSync(logFile, 'latin1').includes(`COCOS-TEST ${said} `)) {
        if (ended.signal.aborted) return;
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      }
      await act(run);
    }
  })();
  await guest.exited;
  ended.abort();
  await acted;
  clearTimeout(timer);
  await guest.kill();
  const text = readFileSync(logFile, 'latin1');
  const said = (name: string): unknown => {
    const line = new RegExp(`^COCOS-TEST ${name} (.*)$`, 'm').exec(text)?.[1];
    return line === undefined ? undefined : JSON.parse(line);
  };
  return { folder: run, console: text, said, quote: () => Quote.parse(said('quote')) };
}
