import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { ERRORS } from '../src/errors.ts';

/** Pages that are made from the code: `tsx scripts/pages.ts` writes them, `--check` compares. */
const ROOT = fileURLToPath(new URL('..', import.meta.url));

function errorsPage(): string {
  const rows = Object.entries(ERRORS).map(
    ([code, { grpc, action, exit, doc }]) => `| \`${code}\` | ${exit} | ${grpc} | ${action} | ${doc} |`,
  );
  return `# Errors

Every failure has a stable code. Programs match codes; sentences may change. \`cocos-cli\` prints the code first on
standard error (with \`-o json\` as \`{"error": {"code", "message", "details"}}\` on standard output) and ends with the exit
code. The action says what helps: *fix* the input, *retry* later, or *stop*, because trust is broken.

Exit codes follow sysexits.h where one fits: 0 done, 1 failed, 2 rejected by appraisal or cryptography, 64 usage, 65 bad
data, 66 file not found, 69 not available, 70 internal, 73 cannot create, 74 unreadable, 75 try again, 77 not permitted, 78
configuration.

| code | exit | gRPC status | action | meaning |
| --- | --- | --- | --- | --- |
${rows.join('\n')}
`;
}

const PAGES: Readonly<Record<string, string>> = { 'docs/errors.md': errorsPage() };

for (const [name, content] of Object.entries(PAGES)) {
  const file = path.join(ROOT, name);
  if (!process.argv.includes('--check')) {
    writeFileSync(file, content);
  } else if (readFileSync(file, 'utf8') !== content) {
    console.error(`${name} is not what the code gives; run node_modules/.bin/tsx scripts/pages.ts`);
    process.exitCode = 1;
  }
}
