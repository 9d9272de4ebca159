#!/usr/bin/env node
// Entry of every npm script that must work right after `git clone`: it brings the machine to the state that
// the task needs, with node's own modules alone, and then runs the task with what was installed.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensure, SetupError } from '../setup/index.mjs';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');

/** What each task needs, and the steps it runs. `...` stands for the caller's own arguments. */
const TASKS = {
  demo: {
    host: (args) => (args.includes('--process') ? 'process' : 'demo'),
    steps: ['build', 'eos', 'tsx scripts/demo.ts ...'],
  },
  test: { host: () => 'test', steps: ['build', 'eos', 'tsx scripts/test.ts ...'] },
  'test:quick': { host: () => 'process', steps: ['build', 'tsx scripts/test.ts --quick ...'] },
  'test:models': {
    host: (args) => (args.includes('--vm') ? 'demo' : 'process'),
    steps: ['build', 'eos', 'tsx scripts/models.ts', 'tsx scripts/models-live.ts ...'],
  },
  chaos: { steps: ['tsx scripts/chaos.ts ...'] },
  'chaos:manager': {
    host: (args) => (args.includes('--vm') ? 'demo' : 'process'),
    steps: ['build', 'eos', 'tsx scripts/chaos-manager.ts ...'],
  },
  'chaos:service': {
    host: () => 'process',
    steps: ['build', 'tsx scripts/chaos-service.ts ...'],
  },
  'chaos:hostile': {
    host: () => 'process',
    steps: ['build', 'tsx scripts/chaos-hostile.ts ...'],
  },
  check: { steps: ['tsx scripts/check.ts ...'] },
  coverage: { host: () => 'process', steps: ['tsx scripts/coverage.ts ...'] },
  'docs:api': { steps: ['tsx scripts/docs-api.ts'] },
  build: { steps: ['build'] },
  eos: { steps: ['tsx eos/build.ts ...'], pinned: true },
  bench: { host: () => 'process', steps: ['build', 'tsx bench/run.ts ...'] },
};

function main([task, ...args]) {
  const known = TASKS[task];
  if (known === undefined) {
    console.error(`usage: node scripts/run.mjs ${Object.keys(TASKS).join('|')} [arguments]`);
    return 64;
  }
  const quiet = args.includes('-o') || args.includes('--quiet');
  const need = known.host?.(args);
  const vm = need === 'demo' || need === 'test';
  try {
    ensure({
      ...(need === undefined ? {} : { hostPackages: need }),
      modules: true,
      pinned: vm || known.pinned === true,
      log: quiet ? () => undefined : console.log,
    });
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    console.error(`error: ${error.message}`);
    return 1;
  }
  mkdirSync(path.join(ROOT, 'build'), { recursive: true });
  for (const step of known.steps) {
    if (step === 'eos' && !vm) continue;
    const words = expand(step, args);
    const { status, signal } = spawnSync(process.execPath, words, {
      cwd: ROOT,
      stdio: 'inherit',
      // It would keep a cache in the temporary folder.
      env: { ...process.env, TSX_DISABLE_CACHE: '1' },
    });
    if (status !== 0) {
      if (signal !== null) console.error(`error: ${words.join(' ')} was ended by ${signal}`);
      return status ?? 1;
    }
  }
  return 0;
}

function expand(step, args) {
  const text = step === 'build' ? 'tsx scripts/build.ts' : step === 'eos' ? 'tsx eos/build.ts' : step;
  const [program, ...words] = text.split(' ');
  const tsx = path.join(ROOT, 'node_modules', program, 'dist', 'cli.mjs');
  return [tsx, ...words.flatMap((word) => (word === '...' ? args : [word]))];
}

process.exitCode = main(process.argv.slice(2));
