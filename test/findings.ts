import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** Where the inputs that once broke a promise lie: beside the checkout, since the project stores no copy of them. */
export function findingsFile(...names: string[]): string {
  return path.join(fileURLToPath(new URL('../../shared/findings', import.meta.url)), ...names);
}

/** Whether they are there; suites that need them skip otherwise, and say so. */
export const hasFindings = existsSync(findingsFile('README.md'));

if (!hasFindings)
  console.warn(`findings are missing at ${findingsFile()}: the suites that read them are skipped`);
