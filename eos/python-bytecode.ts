import { join } from 'node:path';
import { runStep } from './run-step.ts';

const LIB = 'usr/lib/x86_64-linux-gnu';

/**
 * Compiles the Python library of a staged root with the Python in it. The root is read-only, so that
 * otherwise each run of an algorithm would compile what it imports anew.
 *
 * The bytecode holds a hash of its source and no time; a fixed seed keeps the order of sets, and Python's
 * own imports must write nothing on the way.
 */
export function compilePython(stage: string): void {
  const python = [
    join(stage, LIB, 'ld-linux-x86-64.so.2'),
    ...['--library-path', join(stage, LIB)],
    ...[join(stage, 'usr/bin/python3.13'), '-B', '-S'],
  ];
  const options = ['-q', '-f', '--invalidation-mode', 'unchecked-hash', '-s', stage, '-p', '/'];
  const environment = [`PYTHONHOME=${join(stage, 'usr')}`, 'PYTHONHASHSEED=0'];
  const library = join(stage, 'usr/lib/python3.13');
  runStep('compile Python library', 'env', [
    ...environment,
    ...python,
    '-m',
    'compileall',
    ...options,
    library,
  ]);
}
