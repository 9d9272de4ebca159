import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** The three programs as the demo starts them: as anybody would, from their built files. */

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const STOP_LIMIT_MS = 60_000;
const START_LIMIT_MS = 60_000;

export interface CliOutcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A TEE host: its manager, with its own sockets and, where given, its own image. */
export class Host {
  readonly log: string;
  private readonly environment: NodeJS.ProcessEnv;
  private readonly manager: ChildProcess;
  private readonly watchers: ChildProcess[] = [];

  constructor(folder: string, settings: NodeJS.ProcessEnv) {
    this.log = path.join(folder, 'manager.log');
    this.environment = { ...process.env, ...settings };
    this.manager = spawn(process.execPath, [path.join(ROOT, 'dist/cocos-manager.js')], {
      env: this.environment,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.manager.stderr?.pipe(createWriteStream(this.log, { flags: 'a' }));
  }

  /** Resolves when the manager answers. */
  async ready(): Promise<void> {
    const begin = performance.now();
    for (;;) {
      if ((await this.cli('actors', 'list')).code === 0) return;
      if (this.manager.exitCode !== null || performance.now() - begin > START_LIMIT_MS) {
        throw new Error(`the manager did not start; its log is ${this.log}`);
      }
    }
  }

  async cli(...args: readonly string[]): Promise<CliOutcome> {
    const child = spawn(process.execPath, [path.join(ROOT, 'dist/cocos-cli.js'), ...args], {
      env: this.environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const text = { stdout: '', stderr: '' };
    child.stdout.on('data', (chunk: Buffer) => {
      text.stdout += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      text.stderr += chunk.toString();
    });
    const [code] = await once(child, 'close');
    return { code: typeof code === 'number' ? code : 1, ...text };
  }

  /** Prints every transition as it happens, until the host stops. */
  watch(print: (line: string) => void): void {
    const child = spawn(process.execPath, [path.join(ROOT, 'dist/cocos-cli.js'), 'enclave', 'watch'], {
      env: this.environment,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    this.watchers.push(child);
    let rest = '';
    child.stdout.on('data', (chunk: Buffer) => {
      const lines = (rest + chunk.toString()).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) print(line);
    });
  }

  async stop(): Promise<void> {
    for (const watcher of this.watchers) watcher.kill();
    if (this.manager.exitCode !== null || this.manager.signalCode !== null) return;
    this.manager.kill('SIGTERM');
    const timer = setTimeout(() => this.manager.kill('SIGKILL'), STOP_LIMIT_MS);
    await once(this.manager, 'exit');
    clearTimeout(timer);
  }
}
