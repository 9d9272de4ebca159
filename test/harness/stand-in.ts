import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { PROCESS_REFERENCE, ROOT } from './system.ts';

/** A program of `test/fakes` in the agent's place in process mode, with reference values that accept it. */
export function standInAgent(
  folder: string,
  script: string,
  config: Readonly<Record<string, string>>,
): { readonly program: string; readonly reference: string } {
  mkdirSync(folder, { recursive: true });
  const program = path.join(folder, 'agent.mjs');
  copyFileSync(path.join(ROOT, 'test/fakes', script), program);
  writeFileSync(`${program}.json`, JSON.stringify(config));
  const sha256 = (file: string) => createHash('sha256').update(readFileSync(file)).digest('hex');
  const { eosVersion } = JSON.parse(readFileSync(PROCESS_REFERENCE, 'utf8'));
  const reference = path.join(folder, 'reference.json');
  const measured = { agent: sha256(program), runtime: sha256(process.execPath) };
  writeFileSync(reference, JSON.stringify({ version: 1, eosVersion, process: measured }));
  return { program, reference };
}
