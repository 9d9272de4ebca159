import { access, chmod, chown, lstat, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { removeTree } from '../../archive/remove-tree.ts';
import { CocosError } from '../../errors.ts';
import { unixTransport } from '../../link/transport/unix.ts';
import type { Guest } from './guest.ts';
import { adoptHostProcess, type HostProcess, ProcessIdentity, startHostProcess } from './vm/host-process.ts';

/** In the guest's socket folder: what a later run of the manager needs to find the agent again. */
const RECORD = 'process.json';
const Record = z.object({ agent: ProcessIdentity });

/** Group of the agent's sandbox, where the agent is started by root: it may enter the work folder, and not list it. */
const SANDBOX_GROUP = 65_534;

/** Where an agent keeps its files. Both follow from the enclave's id, and are never taken from a record. */
interface ProcessGuestFiles {
  /** Folder for the sockets that stand for vsock ports. */
  readonly socketDir: string;
  /** Folder in memory for the agent's inputs and results; removed with the guest. */
  readonly workDir: string;
}

interface ProcessGuestOptions extends ProcessGuestFiles {
  /** Bundle of the agent. */
  readonly program: string;
  readonly logFile: string;
  /** Settings of the agent. */
  readonly settings: NodeJS.ProcessEnv;
}

/**
 * Process mode: the same agent as a process of the host, on unix sockets. It protects nothing from the host and
 * is meant for machines without QEMU; its evidence says EMULATED.
 *
 * @throws CocosError HOST_IMAGE_MISSING, VM_LAUNCH_FAILED
 */
export async function launchProcessGuest(options: ProcessGuestOptions): Promise<Guest> {
  const { program, socketDir, workDir } = options;
  await access(program).catch((cause: unknown) => {
    throw new CocosError(
      'HOST_IMAGE_MISSING',
      `The agent program ${program} is missing; run npm run build.`,
      { cause },
    );
  });
  await endOrphanProcess(options);
  await mkdir(socketDir, { recursive: true, mode: 0o700 });
  await makeWorkDir(workDir);
  const agent = await startHostProcess(process.execPath, [program], options.logFile, {
    ...options.settings,
    PATH: '/usr/local/bin:/usr/bin:/bin',
    COCOS_MODE: 'process',
    COCOS_SOCKETS: socketDir,
    COCOS_WORK: workDir,
  });
  await writeFile(path.join(socketDir, RECORD), JSON.stringify({ agent: agent.identity }), {
    mode: 0o600,
  });
  return guestOf(agent, options);
}

/** Takes over the agent that an earlier run of the manager started in this folder; null when it has ended. */
export async function attachProcessGuest(files: ProcessGuestFiles): Promise<Guest | null> {
  const record = await readRecord(files.socketDir);
  const agent = record === null ? null : adoptHostProcess(record.agent, files.socketDir);
  if (agent !== null) return guestOf(agent, files);
  await endOrphanProcess(files);
  return null;
}

/** Ends what an earlier run left in this folder, if anything, and removes what it worked on. */
export async function endOrphanProcess({ socketDir, workDir }: ProcessGuestFiles): Promise<void> {
  const record = await readRecord(socketDir);
  if (record !== null) await adoptHostProcess(record.agent, socketDir)?.end();
  await removeOwn(workDir);
  await rm(path.join(socketDir, RECORD), { force: true });
}

/** It lies where every user may make folders: one of another user, in which that user may swap files, is left alone. */
async function removeOwn(workDir: string): Promise<void> {
  const found = await lstat(workDir).catch(() => null);
  if (found !== null && found.uid === process.getuid?.()) await removeTree(workDir);
}

/** Datasets lie in it in the clear, in files that the sandbox's user may read: no other user may enter it. */
async function makeWorkDir(workDir: string): Promise<void> {
  // It fails where another user has made one meanwhile.
  await mkdir(workDir, { mode: 0o700 });
  if (process.getuid?.() !== 0) return;
  await chown(workDir, 0, SANDBOX_GROUP);
  await chmod(workDir, 0o710);
}

function guestOf(agent: HostProcess, { socketDir, workDir }: ProcessGuestFiles): Guest {
  return {
    pid: agent.identity.pid,
    accelerator: 'process',
    exited: agent.exited,
    transport: unixTransport(socketDir),
    detach: () => agent.detach(),
    quit: () => agent.end(),
    kill: async () => {
      await agent.end();
      await removeOwn(workDir);
    },
  };
}

async function readRecord(socketDir: string): Promise<z.infer<typeof Record> | null> {
  try {
    return Record.parse(JSON.parse(await readFile(path.join(socketDir, RECORD), 'utf8')));
  } catch {
    return null;
  }
}
