import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodePublicKeyFile } from '../../../src/crypto/key-file.ts';
import {
  encodeKemKey,
  encodeSigningKey,
  generateParticipantKeys,
  keyFingerprint,
} from '../../../src/crypto/keys.ts';
import { Manifest } from '../../../src/machines/manifest.ts';
import { runCli } from '../../fakes/cli.ts';

let folder: string;
const at = (name: string) => path.join(folder, name);

beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'cocos-manifest-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const base64url = (length: number) =>
  fc
    .array(fc.constantFrom(...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'), {
      minLength: length,
      maxLength: length,
    })
    .map((all) => all.join(''));
const digest = fc
  .tuple(
    fc.constantFrom('sha256', 'sha3-256'),
    fc.array(fc.constantFrom(...'0123456789abcdef'), { minLength: 64, maxLength: 64 }),
  )
  .map(([name, digits]) => `${name}:${digits.join('')}`);
const policyDigest = digest.map((text) => text.replace('sha3-256', 'sha256'));
const signing = base64url(43).map((text) => `ed25519:${text}`);
const kem = fc.oneof(
  base64url(43).map((text) => `x25519:${text}`),
  base64url(1622).map((text) => `x-wing:${text}`),
);
const inputName = fc.stringMatching(/^[a-z][a-z0-9._-]{0,20}$/).filter((name) => name !== 'algorithm');
const whole = (least: number, most: number) => fc.integer({ min: least, max: most });

/** Valid manifests with every optional member present, so that each can be changed. */
const manifests = fc.record({
  version: fc.constant(1 as const),
  id: fc.stringMatching(/^[a-z0-9][a-z0-9._-]{0,30}$/),
  name: fc.string({ minLength: 1, maxLength: 60 }).filter((name) => /^[\x20-\x7e]+$/.test(name)),
  algorithm: fc.record({
    kind: fc.constantFrom('binary' as const, 'python' as const, 'wasm' as const),
    digest,
    provider: signing,
    arguments: fc.array(
      fc.oneof(fc.string(), fc.constantFrom('', ' ', '\x1b', '\\x1b', '\x7f', '\\x7f', '\n', '\\n', 'none')),
      { minLength: 1, maxLength: 4 },
    ),
  }),
  datasets: fc.uniqueArray(
    fc.record({ name: inputName, digest, provider: signing, kind: fc.constant('directory' as const) }),
    {
      minLength: 1,
      maxLength: 4,
      selector: ({ name }) => name,
    },
  ),
  consumers: fc.uniqueArray(fc.record({ signing, kem }), {
    minLength: 1,
    maxLength: 3,
    selector: (consumer) => consumer.signing,
  }),
  limits: fc.record({
    seconds: whole(1, 604_800),
    memoryMiB: whole(16, 1_048_576),
    diskMiB: whole(1, 1_048_576),
    processes: whole(1, 4096),
    inputMiB: whole(1, 1_048_576),
    participantMiB: whole(1, 1_048_576),
    participantTransfers: whole(1, 65),
  }),
  start: fc.array(signing, { minLength: 1, maxLength: 3 }),
  stop: fc.array(signing, { minLength: 1, maxLength: 3 }),
  policyDigest,
});

type Path = readonly (string | number)[];

/** Every member, and every list as a whole. */
function paths(value: unknown, before: Path = []): Path[] {
  if (typeof value !== 'object' || value === null) return [before];
  const inner = Array.isArray(value)
    ? value.flatMap((item, index) => paths(item, [...before, index]))
    : Object.entries(value).flatMap(([key, item]) => paths(item, [...before, key]));
  return before.length === 0 ? inner : [before, ...inner];
}

/** Replaces, removes or shortens the member at a path by what another manifest has there. */
function changed(manifest: unknown, other: unknown, at: Path, how: 'replace' | 'remove'): unknown {
  const [key, ...rest] = at;
  if (key === undefined) return other;
  const copy: unknown = structuredClone(manifest);
  if (typeof copy !== 'object' || copy === null) return copy;
  const from = typeof other === 'object' && other !== null ? Reflect.get(other, key) : undefined;
  if (rest.length > 0) Reflect.set(copy, key, changed(Reflect.get(copy, key), from, rest, how));
  else if (how === 'remove' && Array.isArray(copy)) copy.splice(Number(key), 1);
  else if (how === 'remove') Reflect.deleteProperty(copy, key);
  else Reflect.set(copy, key, from);
  return copy;
}

describe('manifest show and manifest diff', () => {
  it('reveal the change of any one member of any manifest', async () => {
    await fc.assert(
      fc.asyncProperty(
        manifests,
        manifests,
        fc.nat(),
        fc.constantFrom('replace' as const, 'remove' as const),
        async (manifest, other, pick, how) => {
          const all = paths(manifest);
          const after = Manifest.safeParse(changed(manifest, other, all[pick % all.length] ?? [], how));
          const before = Manifest.parse(manifest);
          fc.pre(after.success && JSON.stringify(after.data) !== JSON.stringify(before));
          writeFileSync(at('a'), JSON.stringify(manifest));
          writeFileSync(at('b'), JSON.stringify(after.data));
          const withoutDigest = ({ text }: { text: string }) =>
            text.split('\n').filter((line) => !line.startsWith('digest'));
          const shown = withoutDigest(await runCli('manifest', 'show', at('a')));
          expect(withoutDigest(await runCli('manifest', 'show', at('b')))).not.toEqual(shown);
          const diff = await runCli('manifest', 'diff', at('a'), at('b'));
          expect(diff).toMatchObject({ exit: 1, json: { identical: false } });
        },
      ),
      { numRuns: 300, endOnFailure: true },
    );
  });
});

const DIGEST = `sha256:${'0'.repeat(64)}`;

describe('manifest show', () => {
  it('shows the fingerprint of both keys of a consumer, as keys show does', async () => {
    const { files, manifest } = parties();
    writeFileSync(at('m'), JSON.stringify(manifest));
    const shown = await runCli('keys', 'show', files.bob);
    expect(shown.json).toMatchObject({ fingerprint: expect.stringMatching(/^([0-9a-f]{4} ?){8}$/) });
    const { fingerprint } = Object(shown.json);
    expect((await runCli('manifest', 'show', at('m'))).text).toContain(fingerprint);
    expect(shown.text).toContain(fingerprint);
  });

  it('refuses a manifest with control or bidirectional characters in its name', async () => {
    const { manifest } = parties();
    for (const name of ['a\x1b[2J', 'a\nb', 'a\u202eb', 'a\x85', 'a\u2066']) {
      writeFileSync(at('m'), JSON.stringify({ ...manifest, name }));
      expect(await runCli('manifest', 'show', at('m'))).toMatchObject({ error: 'MANIFEST_INVALID' });
    }
  });
});

describe('manifest check', () => {
  it('names the roles of a provider and who receives the result', async () => {
    const { files, manifest, keys } = parties();
    writeFileSync(at('m'), JSON.stringify(manifest));
    const ann = await runCli('manifest', 'check', at('m'), '--key', files.ann);
    expect(ann).toMatchObject({ exit: 0, json: { roles: ['algorithm', 'dataset wages', 'start'] } });
    expect(ann.text).toContain(keyFingerprint(keys.bob));
    expect(ann.text).toContain('You do not receive the result.');
    const bob = await runCli('manifest', 'check', at('m'), '--key', files.bob);
    expect(bob.json).toMatchObject({ roles: ['consumer', 'stop'] });
  });

  it('refuses a key without a role, and a consumer whose KEM key was replaced', async () => {
    const { files, manifest, keys } = parties();
    writeFileSync(at('m'), JSON.stringify(manifest));
    const carl = await runCli('manifest', 'check', at('m'), '--key', files.carl);
    expect(carl).toMatchObject({ exit: 77, error: 'KEY_NOT_IN_MANIFEST' });
    const consumers = [{ signing: keys.bob.signing, kem: keys.carl.kem }];
    writeFileSync(at('m'), JSON.stringify({ ...manifest, consumers }));
    const bob = await runCli('manifest', 'check', at('m'), '--key', files.bob);
    expect(bob).toMatchObject({ exit: 77, error: 'KEY_NOT_IN_MANIFEST' });
  });
});

/** Ann provides the algorithm and a dataset and starts the run; Bob receives the result; Carl has no role. */
function parties() {
  const make = (name: string) => {
    const pair = generateParticipantKeys();
    writeFileSync(at(`${name}.pub`), encodePublicKeyFile(name, pair));
    return { signing: encodeSigningKey(pair.signing.publicKey), kem: encodeKemKey(pair.kem) };
  };
  const keys = { ann: make('ann'), bob: make('bob'), carl: make('carl') };
  const manifest = {
    version: 1,
    id: 'c1',
    name: 'wages',
    algorithm: { kind: 'python', digest: DIGEST, provider: keys.ann.signing, arguments: ['--mean'] },
    datasets: [{ name: 'wages', digest: DIGEST, provider: keys.ann.signing }],
    consumers: [keys.bob],
    start: [keys.ann.signing],
    stop: [keys.bob.signing],
  };
  return { keys, manifest, files: { ann: at('ann.pub'), bob: at('bob.pub'), carl: at('carl.pub') } };
}
