import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { attestationKeyChain, type Chain, pckChain } from '../fakes/chains/chain.ts';
import type { Change } from '../fakes/chains/change.ts';
import { DIFFERENCES } from '../fakes/chains/differences.ts';
import { EXTENSION_CHANGES } from '../fakes/chains/extension-changes.ts';
import { FIELD_CHANGES } from '../fakes/chains/field-changes.ts';
import { opensslRefusal, ourRefusal, writeChain } from '../fakes/chains/judges.ts';
import { KEY_CHANGES } from '../fakes/chains/key-changes.ts';
import { LIST_CHANGES } from '../fakes/chains/list-changes.ts';
import { Seeded } from '../seeded.ts';

/**
 * Path validation beside an independent validator: openssl judges the same generated chains, with its strict checks, the
 * same time, the same trusted certificate and the same lists.
 */

const CHAINS = 2000;
const WORKERS = 4;
const CHANGES: readonly Change[] = [...EXTENSION_CHANGES, ...FIELD_CHANGES, ...KEY_CHANGES, ...LIST_CHANGES];

interface Judged {
  readonly changes: readonly string[];
  readonly family: Chain['family'];
  readonly ours: string | null;
  readonly openssl: string | null;
}

const names = new Map(CHANGES.map((change, index) => [change.name, index]));
if (names.size !== CHANGES.length) throw new Error('two changes have the same name');

/** A tenth of the chains is valid, each change is made alone in turn, and a third of the chains gets a second one. */
function createChain(index: number): Chain {
  const random = new Seeded(index);
  const first = CHANGES[index % CHANGES.length];
  const families = [attestationKeyChain, pckChain] as const;
  const make =
    first?.family === 'pck'
      ? families[1]
      : first?.family === 'attestation-key' || random.chance(0.7)
        ? families[0]
        : families[1];
  const chain = make(random);
  if (first === undefined || random.chance(0.1)) return chain;
  const suitable = CHANGES.filter(
    ({ family, alone }) => alone !== true && (family === undefined || family === chain.family),
  );
  const changes = first.alone !== true && random.chance(0.33) ? [first, random.pick(suitable)] : [first];
  for (const change of changes) {
    change.apply(chain, random);
    chain.changes.push(change.name);
  }
  return chain;
}

const explains = ({ changes, ours }: Judged): boolean =>
  DIFFERENCES.some(
    (difference) =>
      (difference.ours === 'accepted') === (ours === null) &&
      difference.changes.some((name) => changes.includes(name)),
  );

describe('path validation of generated chains, beside openssl', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'cocosai-chains-'));
  const judged: Judged[] = [];
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  beforeAll(async () => {
    let next = 0;
    const work = async (worker: number): Promise<void> => {
      const own = path.join(folder, String(worker));
      mkdirSync(own);
      for (;;) {
        const index = next;
        next += 1;
        if (index >= CHAINS) return;
        const chain = createChain(index);
        const written = writeChain(chain);
        const openssl = await opensslRefusal(written, own);
        judged.push({ changes: chain.changes, family: chain.family, ours: ourRefusal(written), openssl });
      }
    };
    await Promise.all(Array.from({ length: WORKERS }, (_, worker) => work(worker)));
  });

  it('judges two thousand chains, of which each validator accepts and refuses hundreds', () => {
    expect(judged).toHaveLength(CHAINS);
    const count = (ours: boolean, openssl: boolean): number =>
      judged.filter((one) => (one.ours === null) === ours && (one.openssl === null) === openssl).length;
    expect(count(true, true)).toBeGreaterThan(400);
    expect(count(false, false)).toBeGreaterThan(400);
    const made = new Set(judged.flatMap(({ changes }) => changes));
    expect([...names.keys()].filter((name) => !made.has(name))).toEqual([]);
  });

  it('accepts every valid chain', () => {
    const refused = judged.filter(
      ({ changes, ours, openssl }) => changes.length === 0 && (ours ?? openssl) !== null,
    );
    expect(refused).toEqual([]);
  });

  it('gives the verdict of openssl, except for what the table of differences names', () => {
    const unexplained = judged.filter(
      (one) => (one.ours === null) !== (one.openssl === null) && !explains(one),
    );
    expect(unexplained).toEqual([]);
  });

  it.each(DIFFERENCES.map((difference) => [difference.name, difference] as const))(
    'differs as the table says: %s',
    (_, { changes, ours }) => {
      for (const name of changes) {
        const alone = judged.filter((one) => one.changes.length === 1 && one.changes[0] === name);
        const verdicts = alone.map((one) => (one.ours === null ? 'accepted' : 'rejected'));
        expect(new Set(verdicts), name).toEqual(new Set([ours]));
        const opposite = alone.filter((one) => (one.openssl === null) !== (one.ours === null));
        expect(opposite.length, name).toBeGreaterThan(0);
      }
    },
  );

  it('differs as the documentation says', () => {
    const page = readFileSync(new URL('../../docs/path-validation.md', import.meta.url), 'utf8');
    const rows = page
      .split('\n')
      .filter((line) => line.startsWith('| ') && / \| (accepted|rejected) \| /.test(line));
    expect(rows).toEqual(DIFFERENCES.map(({ name, ours, why }) => `| ${name} | ${ours} | ${why} |`));
  });
});
