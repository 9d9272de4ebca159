import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { z } from 'zod';

/** The trace that every program of a run appends its machines' transitions to (`COCOSAI_TRACE`). */

const folder = mkdtempSync(path.join(os.tmpdir(), 'cocos-trace-'));

export const TRACE_FILE = path.join(folder, 'trace.jsonl');

const Traced = z.object({
  pid: z.number(),
  machine: z.string(),
  actor: z.string(),
  event: z.string(),
  from: z.string(),
  to: z.string(),
});
export type Traced = z.infer<typeof Traced>;

export function traced(): Traced[] {
  if (!existsSync(TRACE_FILE)) return [];
  // The last line may be half written.
  const lines = readFileSync(TRACE_FILE, 'utf8').split('\n').slice(0, -1);
  return lines.map((line) => Traced.parse(JSON.parse(line)));
}

export function removeTrace(): void {
  rmSync(folder, { recursive: true, force: true });
}
