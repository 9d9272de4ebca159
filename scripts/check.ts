import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** Every check that needs no run of the programs: types, lint and format, contracts, unused code, pages. */
const ROOT = fileURLToPath(new URL('..', import.meta.url));
const bin = (name: string) => path.join(ROOT, 'node_modules/.bin', name);

const CHECKS: readonly { readonly name: string; readonly command: readonly string[] }[] = [
  { name: 'types', command: [bin('tsc'), '-p', 'tsconfig.json'] },
  { name: 'types of the pure layer', command: [bin('tsc'), '-p', 'tsconfig.machines.json'] },
  { name: 'lint and format', command: [bin('biome'), 'ci', '--error-on-warnings', '--colors=off'] },
  { name: 'contracts', command: [bin('buf'), 'lint'] },
  { name: 'unused code', command: [bin('knip'), '--no-progress'] },
  { name: 'import rules', command: [bin('vitest'), 'run', '--project', 'fast', 'test/arch.test.ts'] },
  { name: 'terms', command: [bin('tsx'), 'scripts/terms.ts'] },
  { name: 'generated pages', command: [bin('tsx'), 'scripts/pages.ts', '--check'] },
];

function run(name: string, command: readonly string[]): boolean {
  const [program, ...args] = command;
  const { status, stdout, stderr } = spawnSync(program ?? '', args, { cwd: ROOT, encoding: 'utf8' });
  console.log(`${status === 0 ? 'ok    ' : 'FAILED'}  ${name}`);
  if (status !== 0) console.log(`${stdout}${stderr}`);
  return status === 0;
}

/** The generated code must be what the contracts give. */
function generatedCode(): boolean {
  const before = mkdtempSync(path.join(os.tmpdir(), 'cocos-gen-'));
  try {
    cpSync(path.join(ROOT, 'src/rpc/gen'), before, { recursive: true });
    const generated = run('generated code', [bin('buf'), 'generate']);
    return generated && run('generated code is current', ['diff', '-r', before, 'src/rpc/gen']);
  } finally {
    rmSync(before, { recursive: true, force: true });
  }
}

const outcomes = [...CHECKS.map(({ name, command }) => run(name, command)), generatedCode()];
const failed = outcomes.filter((ok) => !ok).length;
console.log(
  failed === 0
    ? `check: all ${outcomes.length} checks passed`
    : `check: ${failed} of ${outcomes.length} failed`,
);
process.exitCode = failed === 0 ? 0 : 1;
