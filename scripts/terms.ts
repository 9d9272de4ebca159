import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** Rejects private words for things that have a common name, so that a search for the common name finds them. */

const ROOT = fileURLToPath(new URL('..', import.meta.url));

const TERMS: readonly (readonly [RegExp, string])[] = [
  [/\bdesks?\b/i, 'ParticipantService'],
  [/vtpm-?stock/i, 'VtpmPool'],
  [/stray/i, 'orphan'],
  [/recallable/i, 'restorable'],
  [/relay-?orders?\b/i, 'RelayCommand'],
  [/relay-?news\b/i, 'RelayEvent'],
  [/AimedRelay|\baim(s|ed|ing)?\b/i, 'route'],
  [/\bWaiting(?=<|\b.*\bfrom ')/, 'StreamHandoff'],
  [/service-?feed/i, 'EventExporter'],
  [/run-?ledger/i, 'IdempotencyStore'],
  [/\badmissions\b/i, 'QuotaReservations'],
  [/early-?sync/i, 'IncrementalFsync'],
  [/plain-?schema/i, 'schema-compiler'],
  [/freed-memory/i, 'allocator-tuning'],
  [/\broom\(|\broom:/, 'whenWritable()'],
  [/greet/i, 'handshake or hello'],
];

/** Where people read. The generated code follows the contracts. */
const READ = ['src', 'docs', 'test', 'models', 'bench', 'eos', 'examples', 'proto', 'setup', '*.md'];
const TEXT = /\.(ts|mts|mjs|cjs|md|json|sh|proto|txt|yaml)$/;

const files = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '--', ...READ], {
  cwd: ROOT,
  encoding: 'utf8',
})
  .split('\n')
  .filter(
    (file) =>
      TEXT.test(file) &&
      existsSync(path.join(ROOT, file)) &&
      !file.startsWith('src/rpc/gen/') &&
      !file.endsWith('.lock.json'),
  );

const found = files.flatMap((file) =>
  readFileSync(path.join(ROOT, file), 'utf8')
    .split('\n')
    .flatMap((line, index) =>
      TERMS.filter(([term]) => term.test(line)).map(
        ([term, better]) => `${file}:${index + 1}: ${term.exec(line)?.[0]} → ${better}`,
      ),
    ),
);
for (const each of found) console.log(each);
if (found.length > 0) process.exitCode = 1;
