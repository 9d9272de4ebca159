import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { readTrace, type Traced } from '../harness/read-trace.ts';

/** The trace that every program of a run appends its machines' transitions to (`COCOSAI_TRACE`). */

const folder = mkdtempSync(path.join(os.tmpdir(), 'cocos-trace-'));

export const TRACE_FILE = path.join(folder, 'trace.jsonl');

export function traced(): Traced[] {
  return readTrace(TRACE_FILE);
}

export function removeTrace(): void {
  rmSync(folder, { recursive: true, force: true });
}
