import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

/** Rules of Buildroot's own `check-package`, which is no package anywhere, as its manual states them. */

const TREE = fileURLToPath(new URL('../../../eos/buildroot', import.meta.url));
const files = readdirSync(TREE, { recursive: true, encoding: 'utf8' }).filter((name) =>
  /(^external\.|Config\.in$|\.mk$|\.hash$|_defconfig$|\.fragment$|\.sh$)/.test(name),
);
const linesOf = (name: string): string[] => readFileSync(join(TREE, name), 'utf8').split('\n');

describe("the Buildroot tree's", () => {
  it.each(files)(
    '%s has no trailing space, ends with one newline and has no empty lines in a row',
    (name) => {
      const lines = linesOf(name);
      expect(lines.filter((line) => /\s$/.test(line))).toEqual([]);
      expect(lines.slice(-2).map((line) => line === '')).toEqual([false, true]);
      expect(
        lines.some((line, index) => line === '' && lines[index + 1] === '' && index < lines.length - 2),
      ).toBe(false);
    },
  );

  it.each(files.filter((name) => name.endsWith('Config.in')))(
    '%s is indented by tabs, help by two spaces more',
    (name) => {
      let inHelp = false;
      for (const line of linesOf(name)) {
        if (/^\S/.test(line)) inHelp = false;
        if (inHelp && line !== '') expect(line).toMatch(/^\t {2}\S.{0,60}$/);
        else if (line !== '') expect(line).toMatch(/^(\S|\t{1,2}\S)/);
        if (line === '\thelp') inHelp = true;
      }
    },
  );

  it.each(files.filter((name) => name.endsWith('.mk') && name.includes('/')))(
    '%s begins with its header',
    (name) => {
      const rule = '#'.repeat(80);
      const title = /([^/]+)\.mk$/.exec(name)?.[1];
      expect(linesOf(name).slice(0, 6)).toEqual([rule, '#', `# ${title}`, '#', rule, '']);
      for (const line of linesOf(name)) expect(line.length).toBeLessThanOrEqual(80);
    },
  );

  it.each(files.filter((name) => name.endsWith('.hash')))(
    '%s has a type, a digest and a name in each line',
    (name) => {
      for (const line of linesOf(name)) expect(line).toMatch(/^(#.*|sha256 {2}[0-9a-f]{64} {2}\S+|)$/);
      const licence = readFileSync(join(TREE, '../../LICENSE'));
      const digest = createHash('sha256').update(licence).digest('hex');
      expect(linesOf(name)).toContain(`sha256  ${digest}  LICENSE`);
    },
  );

  it('defconfigs differ only in their kernel fragment', () => {
    const [snp, tdx] = ['snp', 'tdx'].map((kind) => linesOf(`configs/cocosai_${kind}_defconfig`));
    expect(snp?.map((line) => line.replace('linux-snp', 'linux-tdx'))).toEqual(tdx);
  });
});
