import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RunOutcome, type RunRequest, runAlgorithm } from '../../../../src/agent/run/sandbox.ts';

/** Sandboxed runs need bubblewrap and Python. Without them the suites are skipped with a warning. */
export const canRun = existsSync('/usr/bin/bwrap') && existsSync('/usr/bin/python3');
if (!canRun) console.warn('bubblewrap or python3 is missing: the sandbox suites are skipped');

export const DEFAULT_LIMITS = { seconds: 20, memoryMiB: 256, diskMiB: 16, processes: 64 };

export interface Run {
  readonly outcome: RunOutcome;
  readonly stdout: string[];
  readonly stderr: string[];
  /** Folder of the results, kept until `clear`. */
  readonly results: string;
}

/** A temporary folder with sandboxed runs. */
export class Bench {
  readonly folder: string;
  #count = 0;

  constructor() {
    this.folder = mkdtempSync(join(tmpdir(), 'cocos-run-'));
    chmodSync(this.folder, 0o711);
  }

  async run(
    kind: RunRequest['kind'],
    algorithm: string | Uint8Array,
    change: Partial<RunRequest> & { readonly data?: Readonly<Record<string, string>> } = {},
  ): Promise<Run> {
    this.#count += 1;
    const place = join(this.folder, String(this.#count));
    const results = join(place, 'results');
    mkdirSync(results, { recursive: true });
    chmodSync(place, 0o711);
    writeFileSync(join(place, 'algorithm'), algorithm);
    const datasets = new Map<string, string>();
    for (const [name, text] of Object.entries(change.data ?? {})) {
      writeFileSync(join(place, `data-${name}`), text, { mode: 0o600 });
      datasets.set(name, join(place, `data-${name}`));
    }
    const lines = { stdout: [] as string[], stderr: [] as string[] };
    const outcome = await runAlgorithm({
      kind,
      algorithmPath: join(place, 'algorithm'),
      datasets,
      resultsDir: results,
      ownsFileSystem: false,
      arguments: [],
      limits: DEFAULT_LIMITS,
      onLog: (stream, line) => lines[stream].push(line),
      signal: new AbortController().signal,
      ...change,
    });
    return { outcome, ...lines, results };
  }

  clear(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
