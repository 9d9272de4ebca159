import { fuzz, parsers, SLOW_MS } from '../test/fakes/fuzz.ts';

/**
 * Fuzzes every parser of the attestation library: `scripts/fuzz-attestation.ts [runs] [seed] [name]`. A million runs
 * each when left out; the seed is printed, so that a find can be repeated.
 */
const RUNS = 1_000_000;
const [runsText, seedText, name] = process.argv.slice(2);
const runs = runsText === undefined ? RUNS : Number(runsText);
const seed = seedText === undefined ? Math.floor(Math.random() * 0x1_0000_0000) : Number(seedText);

let bad = 0;
for (const parser of parsers().filter((each) => name === undefined || each.name === name)) {
  const before = process.memoryUsage().rss;
  const start = performance.now();
  const { crashes, slowest, refused } = fuzz(parser, runs, seed);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  const grown = Math.round((process.memoryUsage().rss - before) / 1024 / 1024);
  if (crashes.length > 0 || slowest >= SLOW_MS) bad += 1;
  console.log(
    `${parser.name}: ${runs} runs in ${seconds} s, ${refused} refused, ${crashes.length} crashes, ` +
      `slowest ${slowest.toFixed(1)} ms, memory +${grown} MiB`,
  );
  for (const crash of crashes.slice(0, 3)) console.log(`  ${crash.slice(0, 400)}`);
}
console.log(`seed ${seed}: ${bad} parsers crashed or hung`);
process.exitCode = bad === 0 ? 0 : 1;
