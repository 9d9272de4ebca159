import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parsePolicy } from '../../../src/attestation/policy/policy.ts';
import { SHIPPED_MINIMUM } from '../../../src/attestation/snp/minimum-tcb.ts';
import { defaultCollateralFolder } from '../../../src/cli/collateral/collateral.ts';
import { policyOf } from '../../../src/cli/commands/attestation/show-verdict.ts';
import { profileFolder } from '../../../src/cli/trust/policy-versions.ts';
import { VERDICT_LIFETIME_MS } from '../../../src/machines/verifier.machine.ts';
import { snp, tdx } from '../../fakes/policy-scenes.ts';

/** Every sentence about a default in the two pages, with the test of what it says. */

/** The prose of a page, one sentence each: no code blocks, no tables. */
function sentencesOf(name: string): string[] {
  const text = readFileSync(new URL(`../../../docs/${name}`, import.meta.url), 'utf8');
  return text
    .split('\n')
    .filter((line) => !line.startsWith('|') && !line.startsWith('    '))
    .join('\n')
    .split(/\n\n+/)
    .flatMap((paragraph) => paragraph.replaceAll('\n', ' ').split(/(?<=\.) (?=[A-Z`])/));
}

const HOME = { HOME: '/home/somebody' };
const folderIn = (sentence: string): string =>
  (/`~(\/[^`]+)`/.exec(sentence)?.[1] ?? '').replace(/^/, HOME.HOME);

interface Statement {
  readonly says: RegExp;
  readonly test: (sentence: string) => Promise<void> | void;
}

const PAGES: Readonly<Record<string, readonly Statement[]>> = {
  'policy.md': [
    {
      // Every row of the table: policy-defaults.test.ts. Here, that the page's own example is a complete policy.
      says: /An absent member has the default shown/,
      test: () => {
        const example = sentencesOf('policy.md').find((each) => each.includes('is a complete policy')) ?? '';
        const json: unknown = JSON.parse(/`(\{.*?\})`/.exec(example)?.[1] ?? '');
        expect(parsePolicy(json).platforms).toEqual(['snp']);
      },
    },
    {
      says: /COCOSAI_PROFILE_DIR/,
      test: (sentence) => {
        expect(profileFolder(HOME)).toBe(folderIn(sentence));
        expect(profileFolder({ ...HOME, COCOSAI_PROFILE_DIR: '/p' })).toBe('/p');
      },
    },
  ],
  'attestation.md': [
    {
      says: /--every/,
      test: (sentence) => {
        expect(VERDICT_LIFETIME_MS).toBe(Number(/default: (\d+) s/.exec(sentence)?.[1]) * 1_000);
      },
    },
    {
      says: /COCOSAI_COLLATERAL_DIR/,
      test: (sentence) => {
        expect(defaultCollateralFolder(HOME)).toBe(folderIn(sentence));
        expect(defaultCollateralFolder({ ...HOME, COCOSAI_COLLATERAL_DIR: '/c' })).toBe('/c');
      },
    },
    {
      says: /without current revocation lists.*\*incomplete\*/,
      test: async () => {
        const lists = ['chain.revocation-list', 'chain.revocation'];
        expect(await tdx({ lists: false })({})).toEqual(lists);
        expect(await snp({ lists: false })({})).toEqual(lists);
      },
    },
    {
      says: /`policy\.minimum-tcb` requires it/,
      test: async () => {
        const { snp: level } = SHIPPED_MINIMUM.milan.levels;
        expect(await snp({ snpLevel: level })({})).toEqual([]);
        expect(await snp({ snpLevel: level - 1 })({})).toEqual(['policy.minimum-tcb']);
      },
    },
    {
      says: /The default policy of the commands on a single statement/,
      test: async () => {
        for (const platform of ['snp', 'tdx'] as const)
          expect(await policyOf({}, platform, {})).toEqual(
            parsePolicy({ version: 1, platforms: [platform] }),
          );
      },
    },
  ],
};

describe.each(Object.entries(PAGES))('docs/%s', (name, statements) => {
  const about = sentencesOf(name).filter((sentence) => /\bdefaults?\b/i.test(sentence));

  it('has no sentence about a default that is not tested here', () => {
    expect(about.filter((sentence) => !statements.some(({ says }) => says.test(sentence)))).toEqual([]);
  });

  it.each(statements)('says what is so: $says', async ({ says, test }) => {
    const found = about.filter((sentence) => says.test(sentence));
    expect(found).toHaveLength(1);
    await test(found[0] ?? '');
  });
});
