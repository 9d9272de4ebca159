import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { access, chmod, mkdir, rm } from 'node:fs/promises';
import { CocosError } from '../errors.ts';
import { unixTransport } from '../link/unix.ts';
import type { Guest, GuestExit } from './guest.ts';

const KILL_AFTER_MS = 5_000;

interface ProcessGuestOptions {
  /** Bundle of the agent. */
  readonly program: string;
  /** Folder for the sockets that stand for vsock ports. */
  readonly socketDir: string;
  /** Folder in memory for the agent's inputs and results; removed with the guest. */
  readonly workDir: string;
  readonly logFile: string;
}

/**
 * Process mode: the same agent as a child process, on unix sockets. It protects nothing from the host and is
 * meant for machines without QEMU; its evidence says EMULATED.
 */
export async function launchProcessGuest(options: ProcessGuestOptions): Promise<Guest> {
  await access(options.program).catch((cause: unknown) => {
    throw new CocosError(
      'HOST_IMAGE_MISSING',
      `The agent program ${options.program} is missing; run npm run build.`,
      {
        cause,
      },
    );
  });
  await mkdir(options.socketDir, { recursive: true, mode: 0o700 });
  await mkdir(options.workDir, { recursive: true });
  // Searchable, not listable: the sandbox's user reaches its own files by name.
  await chmod(options.workDir, 0o711);
  const log = openSync(options.logFile, 'a', 0o600);
  const child = spawn(process.execPath, [options.program], {
    stdio: ['ignore', log, log],
    env: {
      PATH: '/usr/local/bin:/usr/bin:/bin',
      COCOS_MODE: 'process',
      COCOS_SOCKETS: options.socketDir,
      COCOS_WORK: options.workDir,
    },
  });
  const exited = new Promise<GuestExit>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
    child.once('error', () => resolve({ code: 127, signal: null }));
  });
  if (child.pid === undefined) {
    const [cause] = await once(child, 'error');
    throw new CocosError('VM_LAUNCH_FAILED', 'The agent process could not be started.', { cause });
  }
  const clean = () => rm(options.workDir, { recursive: true, force: true });
  return {
    pid: child.pid,
    accelerator: 'process',
    exited,
    transport: unixTransport(options.socketDir),
    quit: async () => {
      child.kill('SIGTERM');
      await exited;
    },
    kill: async () => {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGTERM');
        const timer = setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS);
        await exited;
        clearTimeout(timer);
      }
      await clean();
    },
  };
}
