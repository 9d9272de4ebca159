import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { fromHex, toHex } from '../../../src/crypto/bytes.ts';
import { XWING_KEM } from '../../../src/crypto/kem-xwing.ts';
import { hasVectors, vectorsDir } from '../../vectors.ts';
import { flip } from './support.ts';

const Vectors = z
  .array(z.object({ seed: z.string(), eseed: z.string(), pk: z.string(), ct: z.string(), ss: z.string() }))
  .min(1);

const vectors = hasVectors
  ? Vectors.parse(JSON.parse(readFileSync(join(vectorsDir(), 'xwing', 'xwing.json'), 'utf8')))
  : [];

describe.skipIf(!hasVectors)('X-Wing vectors of the draft', () => {
  it.each(vectors)('match in public key, ciphertext and secret for the seed $seed', (v) => {
    const pair = XWING_KEM.derive(fromHex(v.seed));
    expect(toHex(pair.publicKey)).toBe(v.pk);
    expect(toHex(XWING_KEM.publicKeyOf(pair.secretKey))).toBe(v.pk);
    const { enc, sharedSecret } = XWING_KEM.encapsulate(pair.publicKey, fromHex(v.eseed));
    expect(toHex(enc)).toBe(v.ct);
    expect(toHex(sharedSecret)).toBe(v.ss);
    expect(toHex(XWING_KEM.decapsulate(fromHex(v.ct), fromHex(v.seed)))).toBe(v.ss);
  });
});

describe('decapsulate', () => {
  it('returns another secret for an altered ciphertext without an error (implicit rejection)', () => {
    const pair = XWING_KEM.generate();
    const { enc, sharedSecret } = XWING_KEM.encapsulate(pair.publicKey);
    expect(toHex(XWING_KEM.decapsulate(enc, pair.secretKey))).toBe(toHex(sharedSecret));
    expect(toHex(XWING_KEM.decapsulate(flip(enc, 100), pair.secretKey))).not.toBe(toHex(sharedSecret));
  });
});
