import { existsSync, readFileSync } from 'node:fs';
import { z } from 'zod';

const Traced = z.object({
  time: z.iso.datetime(),
  pid: z.number(),
  machine: z.string(),
  actor: z.string(),
  event: z.string(),
  from: z.string(),
  to: z.string(),
});
export type Traced = z.infer<typeof Traced>;

/** The transitions in a trace (`COCOSAI_TRACE`); none of one that was not begun. */
export function readTrace(file: string): Traced[] {
  if (!existsSync(file)) return [];
  // The last line may be half written.
  const lines = readFileSync(file, 'utf8').split('\n').slice(0, -1);
  return lines.map((line) => Traced.parse(JSON.parse(line)));
}
