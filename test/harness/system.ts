import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, existsSync, readdirSync, readFileSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';

/** A real manager and the real command line, as child processes, with everything of theirs in one folder. */

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** Both only end what hangs: a busy machine takes its time. */
const STOP_LIMIT_MS = 300_000;
const START_LIMIT_MS = 300_000;

/** The deadlines of the programs under test, far beyond what a busy machine needs. A test of a deadline sets its own. */
const UNHURRIED = {
  COCOSAI_PREPARE_SECONDS: '600',
  COCOSAI_BOOT_SECONDS: '600',
  COCOSAI_STOP_SECONDS: '120',
  COCOSAI_COLLECT_SECONDS: '300',
  COCOSAI_EVIDENCE_SECONDS: '600',
};

export interface CliResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Standard output as JSON values, one for each line that is one. */
  readonly json: readonly unknown[];
}

export interface System {
  readonly folder: string;
  readonly environment: NodeJS.ProcessEnv;
  manager: ChildProcess;
  /** Path of a file in the system's folder. */
  file(...names: string[]): string;
  cli(...args: readonly string[]): Promise<CliResult>;
  /** Starts a command that runs on; it is ended with the system. */
  spawnCli(...args: readonly string[]): ChildProcess;
  /** Stops the manager in order and removes the folder. Its exit code. */
  stop(): Promise<number | null>;
}

const running = new Set<System>();

/** Stops every system that a test which failed has left, and what its manager could not. */
export async function stopAll(): Promise<void> {
  await Promise.all(
    [...running].map(async (system) => {
      await system.stop();
      endLeft(system.folder);
    }),
  );
}

export async function startSystem(
  settings: NodeJS.ProcessEnv = {},
  cliProgram: string = path.join(ROOT, 'dist/cocos-cli.js'),
): Promise<System> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'cocos-t-'));
  const file = (...names: string[]) => path.join(folder, ...names);
  const environment: NodeJS.ProcessEnv = {
    ...process.env,
    COCOSAI_STATE_DIR: file('state'),
    COCOSAI_RUN_DIR: file('run'),
    COCOSAI_ON_STOP: 'stop',
    ...UNHURRIED,
    ...settings,
  };
  await seedRoot(file('state'));
  const manager = spawnManager(environment, file('manager.log'));
  const spawned: ChildProcess[] = [];
  const spawnCli = (...args: readonly string[]) => {
    const child = spawn(process.execPath, [cliProgram, ...args], {
      env: environment,
    });
    spawned.push(child);
    return child;
  };
  const cli = (...args: readonly string[]) => collect(spawnCli(...args));
  const system: System = {
    folder,
    environment,
    manager,
    file,
    cli,
    spawnCli,
    stop: async () => {
      running.delete(system);
      for (const child of spawned) if (child.exitCode === null) child.kill('SIGKILL');
      const code = await stopProcess(system.manager);
      await keepRoot(file('state'));
      await rm(folder, { recursive: true, force: true });
      return code;
    },
  };
  running.add(system);
  await untilAnswers(system);
  return system;
}

/** Making a development root takes seconds, so the systems of all tests share the first one that was made. */
const SHARED_ROOT = path.join(ROOT, 'build', 'test-emulated-root.json');

async function seedRoot(stateDir: string): Promise<void> {
  if (!existsSync(SHARED_ROOT)) return;
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  await copyFile(SHARED_ROOT, path.join(stateDir, 'emulated-root.json'));
}

async function keepRoot(stateDir: string): Promise<void> {
  const made = path.join(stateDir, 'emulated-root.json');
  if (existsSync(SHARED_ROOT) || !existsSync(made)) return;
  await mkdir(path.dirname(SHARED_ROOT), { recursive: true });
  await copyFile(made, `${SHARED_ROOT}.${process.pid}`);
  await rename(`${SHARED_ROOT}.${process.pid}`, SHARED_ROOT);
}

export function spawnManager(environment: NodeJS.ProcessEnv, logFile: string): ChildProcess {
  const manager = spawn(process.execPath, [path.join(ROOT, 'dist/cocos-manager.js')], {
    env: environment,
    // Where a core dump goes.
    cwd: path.dirname(logFile),
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  manager.stderr?.pipe(createWriteStream(logFile, { flags: 'a' }));
  return manager;
}

/** Kills the manager, lets something happen while it is away, and starts it again. */
export async function restartManager(
  system: System,
  meanwhile: () => unknown = () => undefined,
  signal: NodeJS.Signals = 'SIGKILL',
): Promise<void> {
  const ended = once(system.manager, 'exit');
  system.manager.kill(signal);
  await ended;
  await meanwhile();
  system.manager = spawnManager(system.environment, system.file('manager.log'));
  await untilAnswers(system);
}

export async function collect(child: ChildProcess): Promise<CliResult> {
  const text = { stdout: '', stderr: '' };
  child.stdout?.on('data', (chunk: Buffer) => {
    text.stdout += chunk.toString();
  });
  child.stderr?.on('data', (chunk: Buffer) => {
    text.stderr += chunk.toString();
  });
  const [code] = await once(child, 'close');
  const json = text.stdout.split('\n').flatMap((line) => {
    try {
      return line.trim() === '' ? [] : [JSON.parse(line) as unknown];
    } catch {
      return [];
    }
  });
  return { code: typeof code === 'number' ? code : -1, ...text, json };
}

export async function stopProcess(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) {
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS);
    await once(child, 'exit');
    clearTimeout(timer);
  }
  return child.exitCode;
}

/** A manager that was killed, or failed while it stopped, has left its guests. */
export function endLeft(folder: string): void {
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) continue;
    try {
      if (!readFileSync(`/proc/${entry}/environ`, 'latin1').includes(`${folder}/`)) continue;
      process.kill(Number(entry), 'SIGKILL');
    } catch {
      // It has ended, or is nobody's of ours.
    }
  }
}

async function untilAnswers(system: System): Promise<void> {
  const limit = Date.now() + START_LIMIT_MS;
  while (Date.now() < limit) {
    const elsewhere = system.environment['COCOSAI_LISTEN'] !== undefined;
    const isOpen = elsewhere || existsSync(system.file('run', 'manager.sock'));
    if (isOpen && (await system.cli('actors', 'list')).code === 0) return;
    if (system.manager.exitCode !== null || system.manager.signalCode !== null) break;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const log = existsSync(system.file('manager.log')) ? readFileSync(system.file('manager.log'), 'utf8') : '';
  await system.stop();
  throw new Error(`the manager did not start: ${log}`);
}

const ShownActor = z.looseObject({
  address: z.string(),
  state: z.string(),
  context: z.record(z.string(), z.unknown()),
});

/** The result of a command that must have done its work. */
export function succeeded(result: CliResult): CliResult {
  if (result.code !== 0) throw new Error(`a command ended with ${result.code}: ${result.stderr}`);
  return result;
}

/** An actor by its address, or an enclave by its name. */
export async function show(system: System, address: string): Promise<z.infer<typeof ShownActor>> {
  return ShownActor.parse(succeeded(await system.cli('actors', 'show', address, '-o', 'json')).json[0]);
}

/** Command lines of this machine's live processes that hold `text`. */
export function processesWith(text: string): string[] {
  return readdirSync('/proc').flatMap((entry) => {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) return [];
    try {
      const command = readFileSync(`/proc/${entry}/cmdline`, 'utf8').replaceAll('\0', ' ');
      return command.includes(text) ? [command] : [];
    } catch {
      return [];
    }
  });
}

/** Reference values of process mode, made by the build. */
export const PROCESS_REFERENCE = path.join(ROOT, 'dist/reference-values.json');

export interface Parties {
  readonly manifest: string;
  readonly policy: string;
  readonly reference: string;
  /** Options that a party gives to every command that speaks with an agent. */
  trust(party: string): string[];
}

interface PartiesOptions {
  readonly algorithm: string;
  readonly datasets: Readonly<Record<string, string>>;
  readonly reference: string;
  /** More options of `manifest create`, for example limits. */
  readonly manifest?: readonly string[];
}

/**
 * Keys of `provider`, `consumer` and `stranger`, one manifest (all inputs are the provider's), and a policy for the
 * system's emulated platform.
 */
export async function makeParties(system: System, options: PartiesOptions): Promise<Parties> {
  const succeed = async (...args: readonly string[]) => {
    const { code, stderr } = await system.cli(...args);
    if (code !== 0) throw new Error(`${args.join(' ')} ended with ${code}: ${stderr}`);
  };
  for (const party of ['provider', 'consumer', 'stranger']) {
    await succeed('keys', 'generate', party, '--out', system.folder);
  }
  await writeFile(system.file('algorithm'), options.algorithm);
  const provider = system.file('provider.pub');
  const datasets: string[] = [];
  for (const [name, content] of Object.entries(options.datasets)) {
    await writeFile(system.file(name), content);
    datasets.push('--dataset', `${name}=${system.file(name)}@${provider}`);
  }
  const manifest = system.file('manifest.json');
  await succeed(
    ...['manifest', 'create', '--name', 'test', '--algorithm', `${system.file('algorithm')}@${provider}`],
    ...datasets,
    ...['--consumer', system.file('consumer.pub'), '--out', manifest],
    ...(options.manifest ?? []),
  );
  const policy = system.file('policy.json');
  await succeed('attestation', 'policy', '--out', policy);
  return {
    manifest,
    policy,
    reference: options.reference,
    trust: (party) => [
      ...['--manifest', manifest, '--key', system.file(`${party}.key`)],
      ...['--policy', policy, '--reference', options.reference],
    ],
  };
}
