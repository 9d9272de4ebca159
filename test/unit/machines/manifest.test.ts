import { describe, expect, it } from 'vitest';
import { Manifest } from '../../../src/machines/manifest.ts';

const digest = `sha256:${'0'.repeat(64)}`;
const key = (letter: string) => `ed25519:${letter.repeat(43)}`;
const dataset = (name: string) => ({ name, digest, provider: key('B') });
const consumer = (letter: string) => ({ signing: key(letter), kem: `x25519:${'K'.repeat(43)}` });

const good = {
  version: 1,
  id: 'regression-1',
  name: 'A regression',
  algorithm: { kind: 'python', digest, provider: key('A') },
  datasets: [dataset('wages.csv'), dataset('ages.csv')],
  consumers: [consumer('C')],
};

describe('Manifest', () => {
  it('fills in defaults', () => {
    expect(Manifest.parse(good)).toEqual({
      ...good,
      algorithm: { ...good.algorithm, arguments: [] },
      limits: { seconds: 3600, memoryMiB: 256, diskMiB: 256, processes: 64 },
      start: 'auto',
      stop: [],
    });
  });

  it('accepts a computation without datasets, controllers and an X-Wing key', () => {
    const manifest = {
      ...good,
      datasets: [],
      consumers: [{ signing: key('C'), kem: `x-wing:${'K'.repeat(1622)}` }],
      start: [key('S')],
      stop: [key('T')],
    };
    expect(Manifest.safeParse(manifest).success).toBe(true);
  });

  it.each<[string, object]>([
    ['another version', { version: 2 }],
    ['a member that it does not know', { extra: true }],
    ['an id that leads elsewhere', { id: '../x' }],
    ['an empty name', { name: '' }],
    ['an unknown kind of algorithm', { algorithm: { ...good.algorithm, kind: 'bash' } }],
    ['a digest in capitals', { algorithm: { ...good.algorithm, digest: `sha256:${'A'.repeat(64)}` } }],
    ['a digest of another function', { algorithm: { ...good.algorithm, digest: `md5:${'0'.repeat(64)}` } }],
    ['a key that is too short', { algorithm: { ...good.algorithm, provider: 'ed25519:AAAA' } }],
    ['a dataset that is called as the algorithm is uploaded', { datasets: [dataset('algorithm')] }],
    ['two datasets of one name', { datasets: [dataset('a'), dataset('a')] }],
    ['a dataset in another folder', { datasets: [dataset('../a')] }],
    ['a hidden dataset', { datasets: [dataset('.a')] }],
    ['a dataset that is called __proto__', { datasets: [dataset('__proto__')] }],
    ['a name with a line feed after it', { datasets: [dataset('a\n')] }],
    ['an empty list of consumers', { consumers: [] }],
    ['one consumer twice', { consumers: [consumer('C'), consumer('C')] }],
    ['a consumer without a KEM key', { consumers: [{ signing: key('C') }] }],
    ['a time limit of zero', { limits: { seconds: 0 } }],
    ['a fraction of a second', { limits: { seconds: 1.5 } }],
    ['an empty list of keys that may start', { start: [] }],
    ['a word in place of who may start', { start: 'never' }],
    ['65 datasets', { datasets: Array.from({ length: 65 }, (_, index) => dataset(`d${index}`)) }],
  ])('refuses %s', (_what, change) => {
    expect(Manifest.safeParse({ ...good, ...change }).success).toBe(false);
  });
});
