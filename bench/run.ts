import { readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Figure } from './figure.ts';

/** `npm run bench -- NAME [-o json] [arguments]`: runs `bench/NAME.ts`, which gives its figures. */
const FOLDER = path.dirname(fileURLToPath(import.meta.url));
const SUPPORT = new Set(['run', 'figure']);

const names = readdirSync(FOLDER)
  .filter((file) => file.endsWith('.ts'))
  .map((file) => file.slice(0, -'.ts'.length))
  .filter((name) => !SUPPORT.has(name));
const [name, ...args] = process.argv.slice(2);
const json = args.includes('json') && args.includes('-o');

if (name === undefined || !names.includes(name)) {
  console.error(`usage: npm run bench -- ${names.join('|')} [-o json]`);
  process.exitCode = 64;
} else {
  const bench: { run(args: readonly string[]): Promise<readonly Figure[]> } = await import(`./${name}.ts`);
  const figures = await bench.run(args.filter((argument) => argument !== '-o' && argument !== 'json'));
  for (const figure of figures) console.log(json ? JSON.stringify(figure) : describe(figure));
  if (!json)
    console.log(
      `bench ${name}: ${figures.length} figures, ${figures.filter((each) => !each.ok).length} below their bar`,
    );
}

function describe({ figure, value, unit, baseline, ratio, bar, ok }: Figure): string {
  const compared = baseline === null ? '' : `, baseline ${round(baseline)}, ratio ${round(ratio ?? 0)}`;
  return `${ok ? 'ok  ' : 'MISS'}  ${figure}: ${round(value)} ${unit}${compared}${bar === null ? '' : `, bar ${bar}`}`;
}

function round(number: number): string {
  return number >= 100 ? number.toFixed(0) : number.toPrecision(3);
}
