import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';

/**
 * Runs the suites and closes with one line that sums them. `--quick` leaves out what starts real programs of several roles;
 * other arguments go to vitest (for example a path).
 */
const ROOT = fileURLToPath(new URL('..', import.meta.url));
const REPORTS = path.join(ROOT, 'build', 'test-reports');

const Report = z.object({
  numPassedTests: z.number(),
  numFailedTests: z.number(),
  numPendingTests: z.number(),
  numTodoTests: z.number(),
  success: z.boolean(),
  testResults: z.array(
    z.object({
      name: z.string(),
      status: z.string(),
      message: z.string().optional(),
      assertionResults: z.array(
        z.object({
          status: z.string(),
          fullName: z.string(),
          failureMessages: z.array(z.string()).nullish(),
        }),
      ),
    }),
  ),
});

interface Suite {
  readonly name: string;
  readonly what: string;
}

const QUICK: readonly Suite[] = [{ name: 'fast', what: 'units and models' }];
const FULL: readonly Suite[] = [
  ...QUICK,
  { name: 'process', what: 'real processes without a virtual machine' },
  { name: 'fault', what: 'real processes that die or lie' },
  { name: 'vm', what: 'real virtual machines' },
];

const args = process.argv.slice(2);
const suites = args.includes('--quick') ? QUICK : FULL;
const filters = args.filter((argument) => argument !== '--quick');

rmSync(REPORTS, { recursive: true, force: true });
mkdirSync(REPORTS, { recursive: true });
const sum = { passed: 0, failed: 0, skipped: 0 };
const skips: string[] = [];
const failures: string[] = [];
for (const suite of suites) {
  console.log(`\n── ${suite.name}: ${suite.what}`);
  const file = path.join(REPORTS, `${suite.name}.json`);
  const { status } = spawnSync(
    process.execPath,
    [
      path.join(ROOT, 'node_modules/vitest/vitest.mjs'),
      ...[
        'run',
        '--project',
        suite.name,
        '--reporter=default',
        '--reporter=json',
        `--outputFile.json=${file}`,
      ],
      ...(filters.length > 0 ? ['--passWithNoTests', ...filters] : []),
    ],
    {
      cwd: ROOT,
      stdio: 'inherit',
      env: { ...process.env, ...(process.stdout.isTTY ? {} : { NO_COLOR: '1' }) },
    },
  );
  count(suite, file, status);
}

function count(suite: Suite, file: string, status: number | null): void {
  let report: z.infer<typeof Report>;
  try {
    report = Report.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch {
    failures.push(`suite ${suite.name}: ended without a report (exit ${status})`);
    sum.failed += 1;
    return;
  }
  sum.passed += report.numPassedTests;
  sum.skipped += report.numPendingTests + report.numTodoTests;
  // A file that cannot be loaded, or an error outside any test, fails the run without a failed test.
  const broken = report.testResults.filter(
    (each) => each.status === 'failed' && each.assertionResults.every((test) => test.status !== 'failed'),
  );
  for (const { name, message } of broken)
    failures.push(`${path.relative(ROOT, name)}: ${excerpt(message ?? '')}`);
  const failed = report.numFailedTests + broken.length;
  if (failed === 0 && status !== 0) failures.push(`suite ${suite.name}: an error outside of any test`);
  sum.failed += failed === 0 && status !== 0 ? 1 : failed;
  for (const { name, assertionResults } of report.testResults) {
    for (const { status: outcome, fullName, failureMessages } of assertionResults) {
      if (outcome === 'passed') continue;
      const title = `${path.relative(ROOT, name)}: ${fullName}`;
      if (outcome === 'failed') failures.push(`${title}\n${excerpt((failureMessages ?? []).join('\n'))}`);
      else skips.push(title);
    }
  }
}

/** Enough of a failure to act on where only the end of the output was kept. */
function excerpt(message: string): string {
  const lines = message
    .split('\n')
    .filter((line) => !line.includes('node_modules'))
    .slice(0, 12);
  return lines.map((line) => `    ${line.slice(0, 300)}`).join('\n');
}

if (skips.length > 0) {
  console.log('\nskipped, with the reason in the name of the test or of its group:');
  for (const skip of skips) console.log(`  ${skip}`);
}
if (failures.length > 0) {
  console.log('\nfailed:');
  for (const failure of failures) console.log(`  ${failure}`);
}
console.log(`\nfull reports: ${path.relative(ROOT, REPORTS)}`);
console.log(`${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped`);
process.exitCode = sum.failed === 0 && sum.passed > 0 ? 0 : 1;
