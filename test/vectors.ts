import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** Where the published vectors lie: beside the checkout, since the project stores no copy of them. */
export function vectorsDir(): string {
  return fileURLToPath(new URL('../../shared/vectors', import.meta.url));
}

/** Whether they are there; suites that need them skip otherwise, and say so. */
export const hasVectors = existsSync(vectorsDir());

if (!hasVectors)
  console.warn(`vectors are missing at ${vectorsDir()}: the suites that read them are skipped`);

/** Folders of event logs that come with the values they must replay to; none where the vectors are missing. */
export function logsWithExpectations(folder: string): string[] {
  if (!hasVectors) return [];
  return readdirSync(folder).filter((name) => existsSync(path.join(folder, name, 'expected.json')));
}
