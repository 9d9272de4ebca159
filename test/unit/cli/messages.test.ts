import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { parsePolicy } from '../../../src/attestation/policy/policy.ts';
import { parseReferenceValues } from '../../../src/attestation/policy/reference.ts';
import { COMMANDS } from '../../../src/cli/commands/table.ts';
import { parseManifest } from '../../../src/cli/manifest-file.ts';
import { NEXT_STEPS } from '../../../src/cli/next-steps.ts';
import { runCommandLine } from '../../../src/cli/run.ts';
import { encodePublicKeyFile } from '../../../src/crypto/key-file.ts';
import { generateParticipantKeys } from '../../../src/crypto/keys.ts';
import { CocosError, ERRORS, type ErrorCode } from '../../../src/errors.ts';
import { referenceJson } from '../../fakes/emulated-host.ts';

/** What a person reads when something fails. */

const ROOT = path.resolve(import.meta.dirname, '../../..');
/** Words of zod, gRPC, Node.js and JavaScript that no person should have to read. */
const INTERNAL =
  /Invalid input|Invalid string|Unrecognized key|Too (small|big)|, received|ZodError|invalid_|\b\d+ [A-Z_]{6,}: |\bE(ACCES|NOENT|ISDIR|XIST|PERM|NOTDIR|PIPE)\b|errno|syscall|at (Object|async|new) |TypeError|RangeError|SyntaxError|Unexpected token|\[object|undefined|NaN/;
/** Upper case, or the name of a file, a setting, a command or a member. */
const SENTENCE = /^(["'A-Z/]|swtpm ).*[.?…)}'A-Za-z0-9]$/s;

const KEY = `ed25519:${'A'.repeat(43)}`;
const DIGEST = `sha256:${'0'.repeat(64)}`;
const manifest = {
  version: 1,
  id: 'c',
  name: 'c',
  algorithm: { kind: 'python', digest: DIGEST, provider: KEY, arguments: ['x'] },
  datasets: [{ name: 'd', digest: DIGEST, provider: KEY }],
  consumers: [{ signing: KEY, kem: `x25519:${'K'.repeat(43)}` }],
  limits: { seconds: 10 },
  start: [KEY],
  stop: [],
  disclosure: { exitCode: 'binary', resultPadding: 1024 },
};

let folder: string;
const at = (name: string) => path.join(folder, name);

beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'cocos-messages-'));
  writeFileSync(at('no.json'), '{');
  writeFileSync(at('empty'), '');
  writeFileSync(at('list.json'), '[]');
  writeFileSync(at('policy.json'), JSON.stringify({ version: 1, platforms: ['snp', 7], debug: true }));
  writeFileSync(at('good-policy.json'), JSON.stringify({ version: 1, platforms: ['snp'] }));
  writeFileSync(at('reference.json'), JSON.stringify({ ...referenceJson, vm: { kernel: 'x' } }));
  writeFileSync(
    at('manifest.json'),
    JSON.stringify({ ...manifest, datasets: [{ name: '/x', digest: 'y' }] }),
  );
  writeFileSync(at('good.json'), JSON.stringify(manifest));
  writeFileSync(at('open.key'), '{}', { mode: 0o644 });
  writeFileSync(at('ann.pub'), encodePublicKeyFile('ann', generateParticipantKeys()));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Exit code and both streams of one command. */
async function shown(...args: readonly string[]) {
  const streams = { stdout: '', stderr: '' };
  const spies = (['stdout', 'stderr'] as const).map((name) =>
    vi.spyOn(process[name], 'write').mockImplementation((chunk) => {
      streams[name] += String(chunk);
      return true;
    }),
  );
  try {
    const environment = { HOME: at('home'), COCOSAI_RUN_DIR: at('run') };
    return { exit: await runCommandLine(['node', 'cocos-cli', ...args], environment), ...streams };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

function commandNames(rows: readonly { name: string; commands?: readonly { name: string }[] }[]): string[] {
  return rows.flatMap((row) => [row.name, ...(row.commands ?? []).map(({ name }) => `${row.name} ${name}`)]);
}

describe('the error table', () => {
  const codes = Object.keys(ERRORS) as ErrorCode[];
  const commands = commandNames(COMMANDS);
  const scripts = Object.keys(JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')).scripts);

  it.each(codes)('%s has a sentence and a next step, in words of the project', (code) => {
    for (const text of [ERRORS[code].doc, NEXT_STEPS[code]]) {
      expect(text).toMatch(SENTENCE);
      expect(text).not.toMatch(INTERNAL);
      expect(text.length).toBeGreaterThan(20);
    }
    expect(NEXT_STEPS[code]).not.toBe(ERRORS[code].doc);
  });

  it.each(codes)('%s names commands, scripts and pages that exist', (code) => {
    const next = NEXT_STEPS[code];
    for (const [, name = ''] of next.matchAll(/cocos-cli ([a-z]+(?: [a-z-]+)?)/g)) {
      const [group = ''] = name.split(' ');
      expect(commands.some((each) => each === name || each === group)).toBe(true);
      if (commands.some((each) => each.startsWith(`${group} `))) {
        expect(commands.some((each) => name === each || name.startsWith(`${each} `))).toBe(true);
      }
    }
    for (const [, script] of next.matchAll(/npm run ([a-z:]+)/g)) expect(scripts).toContain(script);
    for (const [page] of next.matchAll(/docs\/[a-z-]+\.md/g))
      expect(existsSync(path.join(ROOT, page))).toBe(true);
  });

  it('gives bad data the exit code of sysexits.h for it, 65', () => {
    for (const code of codes.filter((each) =>
      /^(MANIFEST|POLICY|REFERENCE|EVIDENCE|INPUT|KEY_FILE)_INVALID$/.test(each),
    ))
      expect(ERRORS[code].exit, code).toBe(65);
  });

  it('never shows the text of a library as a message', () => {
    const error = CocosError.from(new Error('EACCES: permission denied, open'));
    expect(error.toJSON()).toEqual({
      code: 'INTERNAL',
      message: ERRORS.INTERNAL.doc,
      details: { reason: 'EACCES: permission denied, open' },
    });
  });
});

const trust = () => ['--policy', at('good-policy.json'), '--reference', at('reference.json')];
/** Commands that fail, with the code and what the message must name. */
const FAILURES: readonly [string, () => string[], ErrorCode, RegExp][] = [
  ['a manifest that is not JSON', () => ['manifest', 'show', at('no.json')], 'MANIFEST_INVALID', /no\.json/],
  [
    'a manifest of another shape',
    () => ['manifest', 'show', at('list.json')],
    'MANIFEST_INVALID',
    /list\.json.*object/,
  ],
  [
    'a manifest with bad members',
    () => ['manifest', 'show', at('manifest.json')],
    'MANIFEST_INVALID',
    /datasets\[0\]\.name: expected up to 128 letters.*, found "\/x".*datasets\[0\]\.digest: expected sha256: or.*found "y".*datasets\[0\]\.provider: expected a string, found nothing/,
  ],
  ['a missing file', () => ['manifest', 'show', at('none')], 'FILE_NOT_FOUND', /none/],
  ['a folder as a file', () => ['manifest', 'show', folder], 'FILE_UNREADABLE', /cocos-messages/],
  [
    'a policy with bad members',
    () => [
      'attestation',
      'verify',
      at('empty'),
      '--policy',
      at('policy.json'),
      '--reference',
      at('reference.json'),
    ],
    'POLICY_INVALID',
    /policy\.json.*platforms\[1\]: expected "snp" or "tdx" or "emulated", found 7.*unknown member "debug"/,
  ],
  [
    'reference values with bad members',
    () => ['attestation', 'verify', at('good.json'), ...trust()],
    'REFERENCE_INVALID',
    /reference\.json.*vm\.kernel: expected an object, found "x"/,
  ],
  ['a log that is none', () => ['attestation', 'replay', at('good.json')], 'FILE_UNREADABLE', /good\.json/],
  [
    'evidence that is none',
    () => ['attestation', 'inspect', at('good.json')],
    'FILE_UNREADABLE',
    /good\.json/,
  ],
  [
    'a key file that others can read',
    () => ['keys', 'show', at('open.key')],
    'KEY_FILE_INVALID',
    /open\.key/,
  ],
  ['a manager that is not there', () => ['enclave', 'list'], 'MANAGER_UNAVAILABLE', /manager\.sock/],
  ['a result file that is none', () => ['result', 'verify', at('good.json')], 'RESULT_INVALID', /good\.json/],
  ['a bad time', () => ['attestation', 'verify', 'x', ...trust(), '--at', 'noon'], 'USAGE', /noon/],
  ['an unknown option', () => ['enclave', 'list', '--fast'], 'USAGE', /--fast/],
  ['an unknown command', () => ['encalve', 'list'], 'USAGE', /encalve/],
  [
    'an output file that exists',
    () => [
      ...['manifest', 'create', '--name', 'x', '--algorithm', `${at('empty')}@${at('ann.pub')}`],
      ...['--consumer', at('ann.pub'), '--out', at('empty')],
    ],
    'FILE_EXISTS',
    /empty/,
  ],
  [
    'a limit that is no number',
    () => [
      ...['manifest', 'create', '--name', 'x', '--algorithm', `${at('empty')}@${at('ann.pub')}`],
      ...['--consumer', at('ann.pub'), '--limit', 'seconds=soon', '--out', at('new')],
    ],
    'MANIFEST_INVALID',
    /limits\.seconds/,
  ],
];

describe('the message of a failure', () => {
  it.each(FAILURES)(
    'says what happened with %s, names it, and says what to try next',
    async (_, args, code, names) => {
      const { exit, stdout, stderr } = await shown(...args());
      expect(stdout).toBe('');
      const [message = '', next = '', ...rest] = stderr.split('\n');
      expect(rest).toEqual(['']);
      expect(message).toMatch(new RegExp(`^${code}: `));
      expect(message.slice(code.length + 2)).toMatch(SENTENCE);
      expect(message).toMatch(names);
      expect(message).not.toMatch(INTERNAL);
      expect(next).toBe(`next: ${NEXT_STEPS[code]}`);
      expect(exit).toBe(ERRORS[code].exit);
    },
  );
});

describe('the option -o json', () => {
  it.each<[string, string[]]>([
    ['before the command', ['-o', 'json', 'keys', 'list']],
    ['after the group', ['keys', '-o', 'json', 'list']],
    ['after the command', ['keys', 'list', '-o', 'json']],
    ['in its long form before the command', ['--output=json', 'keys', 'list']],
  ])('is accepted %s', async (_, args) => {
    const { exit, stdout, stderr } = await shown(...args, folder);
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' });
    expect(Array.isArray(JSON.parse(stdout))).toBe(true);
    const failed = await shown(...args, at('none'));
    expect(JSON.parse(failed.stdout)).toMatchObject({ error: { next: NEXT_STEPS.FILE_NOT_FOUND } });
  });
});

describe('the problems that a schema finds', () => {
  const documents: readonly [string, unknown, (json: unknown) => unknown][] = [
    ['a manifest', manifest, (json) => parseManifest(json, 'The manifest')],
    ['a policy', { version: 1, platforms: ['snp'], snp: { vmpl: 0 }, tdx: {} }, parsePolicy],
    ['reference values', referenceJson, parseReferenceValues],
  ];
  const junk = fc.oneof(
    fc.constantFrom<unknown>(null, true, -1, 1.5, 1e300, '', 'x', [], {}, [[]], { x: 1 }, 'a'.repeat(500)),
    fc.jsonValue(),
  );

  it.each(documents)(
    'of %s are told without words of the library, each with its place',
    async (_, document, parse) => {
      await fc.assert(
        fc.property(fc.nat(), junk, fc.string(), (pick, value, name) => {
          const all = places(document);
          const copy: unknown = structuredClone(document);
          const where = all[pick % all.length] ?? [];
          const parent = where
            .slice(0, -1)
            .reduce<unknown>((inner, key) => Reflect.get(Object(inner), key), copy);
          Reflect.set(Object(parent), where.at(-1) ?? name, value);
          try {
            parse(copy);
          } catch (thrown) {
            const { message } = CocosError.from(thrown);
            // What was found is quoted, and may be any text.
            const own = message.replace(/"(?:[^"\\]|\\.)*["…]/g, '""');
            expect(own).not.toMatch(INTERNAL);
            expect(own).toMatch(/ is invalid at | are invalid at /);
            expect(message).not.toBe('');
          }
        }),
        { numRuns: 2_000 },
      );
    },
  );
});

function places(value: unknown, before: (string | number)[] = []): (string | number)[][] {
  if (typeof value !== 'object' || value === null) return [before];
  return [
    ...(before.length === 0 ? [] : [before]),
    ...Object.entries(value).flatMap(([key, item]) =>
      places(item, [...before, Array.isArray(value) ? Number(key) : key]),
    ),
  ];
}
