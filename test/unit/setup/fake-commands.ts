import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const SYSTEM = '/usr/local/bin:/usr/bin:/bin';

/** A folder at the front of PATH whose commands record their calls. */
export interface FakeCommands {
  readonly folder: string;
  /** Adds a command; in its script `$LOG` is the list of calls. */
  add(name: string, script: string): void;
  /** Calls so far, as `name arguments`. */
  calls(): string[];
  /** Runs an ES module text in the repository with the fakes first on PATH. */
  run(script: string, environment?: Record<string, string>): { status: number | null; output: string };
}

export function fakeCommands(): FakeCommands {
  const folder = mkdtempSync(join(tmpdir(), 'cocos-setup-'));
  const log = join(folder, 'calls');
  mkdirSync(join(folder, 'bin'));
  writeFileSync(log, '');
  return {
    folder,
    add(name, script) {
      const file = join(folder, 'bin', name);
      writeFileSync(file, `#!/bin/sh\nLOG=${log}\necho "${name} $*" >>$LOG\n${script}\n`);
      chmodSync(file, 0o755);
    },
    calls: () => readFileSync(log, 'utf8').split('\n').slice(0, -1),
    run(script, environment = {}) {
      const result = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
        env: {
          ...process.env,
          PATH: `${join(folder, 'bin')}:${SYSTEM}`,
          COCOSAI_CACHE: join(folder, 'cache'),
          ...environment,
        },
        encoding: 'utf8',
      });
      return { status: result.status, output: `${result.stdout}${result.stderr}` };
    },
  };
}
