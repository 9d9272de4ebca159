import { describe, expect, it } from 'vitest';
import { createIdentity } from '../../../src/agent/evidence/identity.ts';

describe('the identity of an agent', () => {
  it('holds no secret key once erased, whether or not the KEM keys were generated', () => {
    const used = createIdentity();
    const secrets = [used.signing, used.kems['x-wing'], used.kems.x25519].map(({ secretKey }) => secretKey);
    expect(secrets.every((secret) => secret.some((byte) => byte !== 0))).toBe(true);
    used.erase();
    expect(secrets.every((secret) => secret.every((byte) => byte === 0))).toBe(true);
    const unused = createIdentity();
    unused.erase();
    expect(unused.signing.secretKey.every((byte) => byte === 0)).toBe(true);
  });
});
