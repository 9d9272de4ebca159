import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { createOutput, type Output, table } from '../../../src/cli/output.ts';
import { runCommandLine } from '../../../src/cli/run.ts';
import { encodeKemKey, encodeSigningKey, generateParticipantKeys } from '../../../src/crypto/keys.ts';
import { FORBIDDEN, hostileText } from '../../fakes/hostile-text.ts';

/** Everything that `run` writes to both streams. */
async function written(run: () => unknown): Promise<string> {
  const chunks: string[] = [];
  const collect = (chunk: unknown) => {
    chunks.push(String(chunk));
    return true;
  };
  const spies = [process.stdout, process.stderr].map((stream) =>
    vi.spyOn(stream, 'write').mockImplementation(collect),
  );
  try {
    await run();
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
  return chunks.join('');
}

/** Each way in which a string can reach the terminal as one line. */
const WAYS: readonly (readonly [string, (output: Output, text: string) => void])[] = [
  ['a result', (output, text) => output.result(text, { text })],
  ['a list of lines', (output, text) => output.result([text], { [text]: [text] })],
  ['a cell of a table', (output, text) => output.result(table([[text, text]]), { text })],
  ['a followed line', (output, text) => output.line(text, text)],
  ['progress', (output, text) => output.progress(text)],
  ['a note', (output, text) => output.note(text)],
  [
    'an error',
    (output, text) => output.error({ code: 'INTERNAL', message: text, details: { [text]: text } }),
  ],
];

describe('the output of the command line', () => {
  it.each(WAYS)('shows %s as text without control characters, in one line', async (name, write) => {
    await fc.assert(
      fc.asyncProperty(hostileText, async (text) => {
        const shown = await written(() => write(createOutput(false), text));
        expect(shown).not.toMatch(FORBIDDEN);
        // An error is followed by a line with the next step, which this program wrote.
        expect(shown.split('\n')).toHaveLength(name === 'an error' ? 3 : 2);
      }),
      { numRuns: 300 },
    );
  });

  it.each(WAYS)(
    'writes %s as JSON without raw control characters and with the same data',
    async (name, write) => {
      await fc.assert(
        fc.asyncProperty(hostileText, async (text) => {
          const shown = await written(() => write(createOutput(true), text));
          expect(shown).not.toMatch(FORBIDDEN);
          const [first = ''] = shown.split('\n');
          if (name === 'a result') expect(JSON.parse(first)).toEqual({ text });
        }),
        { numRuns: 300 },
      );
    },
  );

  it('shows what it replaces as a visible escape', async () => {
    const shown = await written(() =>
      createOutput(false).result('\x1b]0;owned\x07 \x9b2J \u202egnp\u2069 a\nb\tc é 日本', {}),
    );
    expect(shown).toBe('\\x1b]0;owned\\x07 \\x9b2J \\u202egnp\\u2069 a\\x0ab\\x09c é 日本\n');
  });

  it('shows a hostile name in a key file, an argument and a usage error without control characters', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'cocos-output-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const keys = generateParticipantKeys();
    const name = 'ann\x1b[2J\x1b[H\nACCEPTED \u202e';
    const [signing, kem] = [encodeSigningKey(keys.signing.publicKey), encodeKemKey(keys.kem)];
    const file = path.join(folder, 'ann.pub');
    writeFileSync(file, JSON.stringify({ version: 1, kind: 'cocosai public key', name, signing, kem }));
    const command = (...args: string[]) =>
      written(() => runCommandLine(['node', 'cocos-cli', ...args], { HOME: '/nonexistent' }));
    const shown = await command('keys', 'show', file);
    expect(shown).not.toMatch(FORBIDDEN);
    expect(shown.split('\n')).not.toContain('ACCEPTED \u202e');
    expect(shown.split('\n').some((line) => line.startsWith('ACCEPTED'))).toBe(false);
    for (const args of [
      ['keys', 'list', folder],
      ['keys', 'show', `${file}\x1b[2J`],
      ['keys', `sho\x1b[2J`],
      [`\x1b[2J\nACCEPTED`],
      ['keys', 'list', folder, '-o', 'json'],
    ]) {
      expect(await command(...args)).not.toMatch(FORBIDDEN);
    }
  });
});
