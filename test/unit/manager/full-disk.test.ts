import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { z } from 'zod';

const ROOT = path.resolve(import.meta.dirname, '../../..');
const Outcome = z.object({ stored: z.number(), refused: z.number(), unhandled: z.array(z.string()) });

/** In 1024 bytes: room for the program's own files, and for a part of what the store is given. */
const FILE_LIMIT = 8192;

it('a store whose disk takes no more refuses its writes and leaves no promise rejected unhandled', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'cocosai-full-'));
  try {
    const script = `ulimit -f ${FILE_LIMIT}; exec "$0" --import tsx test/harness/full-disk.ts "$1"`;
    const { stdout } = await promisify(execFile)('bash', ['-c', script, process.execPath, folder], {
      cwd: ROOT,
    });
    const outcome = Outcome.parse(JSON.parse(stdout));
    expect(outcome.stored).toBeGreaterThan(0);
    expect(outcome.refused).toBeGreaterThan(0);
    expect(outcome.unhandled).toEqual([]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
