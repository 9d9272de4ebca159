import { existsSync, readFileSync } from 'node:fs';

/**
 * Stands for the agent in the image that tests share: it does the parts that the kernel's command line names, one after
 * the other. Nothing can be added to a signed command line, so that a guest booted by UEFI reports. Otherwise it is the
 * agent, which somebody changed: it does what the agent does, and is not the same program.
 */
const PARTS: Readonly<Record<string, () => Promise<unknown>>> = {
  report: async () => (await import('./report-agent.ts')).report(),
  scratch: async () => (await import('./scratch-agent.ts')).readUntilChanged(),
  replay: async () => (await import('./replay-agent.ts')).replaceAndRead(),
  vsock: () => import('./vsock-agent.ts'),
  changed: () => import('../../src/agent/main.ts'),
};

async function main(): Promise<void> {
  const named = /\bcocos\.test=(\S+)/.exec(readFileSync('/proc/cmdline', 'utf8'))?.[1]?.split(',');
  for (const name of named ?? [existsSync('/sys/firmware/efi') ? 'report' : 'changed']) await PARTS[name]?.();
}

void main();
