import { mkdtempSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { manufactureVtpm } from '../../src/manager/guests/vm/swtpm.ts';
import { launchVmGuest } from '../../src/manager/guests/vm/vm-guest.ts';
import { bootable, type TestImage } from './test-image.ts';

/** Boots the test image and reads what its agent prints. */

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
  /** Parts of the test agent, for a direct boot. */
  readonly parts?: readonly ('report' | 'scratch' | 'replay')[];
  /** What the console says last of interest: then the guest is ended. */
  readonly last?: string;
  /** Each is called with the guest's folder once its agent has said something of this name, in this order. */
  readonly meanwhile?: readonly { readonly said: string; act(folder: string): void | Promise<void> }[];
}

/**
 * @param folder an existing one, short, for sockets and state
 */
export async function bootForReport(
  image: TestImage,
  folder: string,
  { parts = ['report'], scratchMiB = 0, memoryMiB = 256, last, meanwhile = [] }: BootOptions = {},
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
    image: bootable({ ...image, commandLine: `${image.commandLine} cocos.test=${parts.join(',')}` }),
    ...{ vcpus: 1, vcpuType: 'EPYC-v3', memoryMiB, accelerator: 'auto' },
    ...{ socketDir: run, vtpmFolder, scratchMiB, logFile, notice: () => undefined },
  });
  const ended = new AbortController();
  const exited = guest.exited.then(() => ended.abort());
  /** False when the guest has ended without it. */
  const prints = async (text: string): Promise<boolean> => {
    while (!readFileSync(logFile, 'latin1').includes(text)) {
      if (ended.signal.aborted) return false;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    return true;
  };
  try {
    for (const { said, act } of meanwhile) if (await prints(`COCOS-TEST ${said} `)) await act(run);
    if (last === undefined) await exited;
    else await prints(last);
  } finally {
    await guest.kill();
  }
  const text = readFileSync(logFile, 'latin1');
  const said = (name: string): unknown => {
    const line = new RegExp(`^COCOS-TEST ${name} (.*)$`, 'm').exec(text)?.[1];
    return line === undefined ? undefined : JSON.parse(line);
  };
  return { folder: run, console: text, said, quote: () => Quote.parse(said('quote')) };
}
