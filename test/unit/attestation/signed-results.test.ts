import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decode, Tagged } from 'cborg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { decodeCorim, encodeCorim } from '../../../src/attestation/corim/comid.ts';
import { referenceFromCorim, referenceToCorim } from '../../../src/attestation/corim/reference-corim.ts';
import { parseReferenceValues } from '../../../src/attestation/policy/reference.ts';
import { runCli } from '../../fakes/cli.ts';
import { NONCE, referenceJson, scene } from '../../fakes/emulated-host.ts';
import { hasVectors, vectorsDir } from '../../vectors.ts';

const folder = mkdtempSync(join(tmpdir(), 'cocos-signed-'));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => join(folder, name);
const write = (name: string, content: string | Uint8Array): string => {
  writeFileSync(at(name), content);
  return at(name);
};
const nonce = Buffer.from(NONCE).toString('hex');
const AT = '2026-06-01T00:00:00Z';
const Public = z.object({ signing: z.string() });
/** DER of SubjectPublicKeyInfo up to the 32 bytes of an Ed25519 key (RFC 8410). */
const ED25519 = Buffer.from('302a300506032b6570032100', 'hex');
let key: string;

beforeAll(async () => {
  expect((await runCli('keys', 'generate', 'carol', '--out', folder)).exit).toBe(0);
  key = Public.parse(JSON.parse(readFileSync(at('carol.pub'), 'utf8'))).signing;
  const { policy, evidence } = await scene();
  write(
    'policy.json',
    JSON.stringify({ version: 1, platforms: ['emulated'], emulatedRoot: policy.emulatedRoot }),
  );
  write('reference.json', JSON.stringify(referenceJson));
  write('evidence', evidence);
  write('garbage', Buffer.alloc(500, 0x5a));
});

const verify = (...more: string[]) =>
  runCli(
    ...['attestation', 'verify', at('evidence'), '--policy', at('policy.json')],
    ...['--reference', at('reference.json'), '--nonce', nonce, '--at', AT, ...more],
  );
const Verdict = z.object({
  outcome: z.string(),
  failures: z.array(z.string()),
  missing: z.array(z.string()),
});

describe('attestation verify', () => {
  it('exits with 0 (accepted), 2 (rejected), 74 (no evidence), 65 (bad policy) or 64 (inconsistent options)', async () => {
    expect((await verify()).exit).toBe(0);
    const stale = await verify('--nonce', '0'.repeat(64));
    expect([stale.exit, Verdict.parse(stale.json).failures]).toEqual([2, ['binding.report-data']]);
    const run = (file: string) =>
      runCli(
        'attestation',
        'verify',
        file,
        '--policy',
        at('policy.json'),
        '--reference',
        at('reference.json'),
      );
    for (const file of [at('garbage'), at('policy.json'), write('nothing', ''), folder, at('not-there')])
      expect((await run(file)).exit).toBe(74);
    const short = write('short', readFileSync(at('evidence')).subarray(0, 600));
    expect((await run(short)).exit).toBe(74);
    for (const wrong of [['--nonce', 'ab'], ['--at', 'noon'], ['--no-such']])
      expect((await verify(...wrong)).exit).toBe(64);
    const twice = '{"version":1,"platforms":["snp"],"platforms":["tdx"]}';
    expect((await verify('--policy', write('twice.json', twice))).exit).toBe(74);
    expect(
      (await verify('--policy', write('odd.json', '{"version":1,"platforms":["snp"],"debug":1}'))).exit,
    ).toBe(65);
  });

  it('limits the age of a nonce with a given time', async () => {
    const policy = { ...JSON.parse(readFileSync(at('policy.json'), 'utf8')), maxAgeSeconds: 60 };
    const limited = ['--policy', write('limited.json', JSON.stringify(policy))];
    expect(Verdict.parse((await verify(...limited)).json).failures).toEqual(['binding.age']);
    expect((await verify(...limited, '--nonce-issued', '2026-05-31T23:59:30Z')).exit).toBe(0);
    expect((await verify(...limited, '--nonce-issued', '2026-05-31T23:58:30Z')).exit).toBe(2);
  });
});

describe('an attestation result (EAR)', () => {
  const token = async (name: string, ...more: string[]) => {
    await verify('--ear', at(name), '--ear-key', at('carol.key'), ...more);
    return readFileSync(at(name), 'utf8').trim();
  };
  const part = (text: string | undefined): unknown =>
    JSON.parse(Buffer.from(text ?? '', 'base64url').toString('utf8'));

  it('is a JSON Web Token that openssl verifies', async () => {
    const [header, payload, signature] = (await token('good.jwt')).split('.');
    expect(part(header)).toEqual({ alg: 'EdDSA', typ: 'JWT', kid: key });
    const raw = Buffer.from(key.slice('ed25519:'.length), 'base64url');
    write('carol.der', Buffer.concat([ED25519, raw]));
    const check = (message: string) =>
      execFileSync(
        'openssl',
        [
          ...['pkeyutl', '-verify', '-pubin', '-inkey', at('carol.der'), '-keyform', 'DER', '-rawin'],
          ...[
            '-in',
            write('message', message),
            '-sigfile',
            write('sig', Buffer.from(signature ?? '', 'base64url')),
          ],
        ],
        { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
      );
    expect(check(`${header}.${payload}`)).toContain('Verified Successfully');
    expect(() => check(`${header}.${payload}x`)).toThrow();
    expect(part(payload)).toMatchObject({
      eat_profile: 'tag:github.com,2023:veraison/ear',
      iat: Date.parse(AT) / 1000,
      eat_nonce: Buffer.from(NONCE).toString('base64url'),
      'ear.verifier-id': { developer: 'CocosAI' },
      submods: {
        emulated: {
          'ear.status': 'warning',
          'ear.trustworthiness-vector': {
            'instance-identity': 2,
            configuration: 2,
            executables: 2,
            hardware: 32,
          },
        },
      },
    });
  });

  it('reports rejected evidence', async () => {
    const text = await token('bad.jwt', '--nonce', '0'.repeat(64));
    expect(part(text.split('.')[1])).toMatchObject({
      submods: { emulated: { 'ear.status': 'contraindicated' } },
      'cocosai.failures': ['binding.report-data'],
    });
  });

  it('is verified by our own parser only with that key and only in one encoding', async () => {
    const text = await token('own.jwt');
    const run = (content: string, by = key) =>
      runCli('attestation', 'verify-ear', write('token', content), '--key', by);
    expect((await run(text)).exit).toBe(0);
    const [header, payload, signature] = text.split('.');
    const none = Buffer.from('{"alg":"none"}').toString('base64url');
    expect((await run(`${none}.${payload}.`)).exit).toBe(65);
    const changed = `${payload?.slice(0, -4)}AAAA`;
    expect((await run(`${header}.${changed}.${signature}`)).exit).toBe(2);
    expect((await run(`${text}.x`)).exit).toBe(65);
    expect((await run('no token')).exit).toBe(65);
  });

  it('is refused when it says rejected, answers another nonce, or is too old', async () => {
    const run = (content: string, ...options: string[]) =>
      runCli('attestation', 'verify-ear', write('token', content), '--key', key, ...options);
    const good = await token('good.jwt');
    const nonce = Buffer.from(NONCE).toString('hex');
    const later = (seconds: number) => new Date(Date.parse(AT) + seconds * 1000).toISOString();
    expect((await run(good, '--nonce', nonce, '--at', later(60), '--max-age', '60')).exit).toBe(0);
    expect((await run(good, '--nonce', '0'.repeat(64))).exit).toBe(2);
    expect((await run(good, '--at', later(61), '--max-age', '60')).exit).toBe(2);
    expect((await run(good, '--at', later(-3600))).exit).toBe(2);
    expect((await run(good, '--max-age', '0')).exit).toBe(64);
    const bad = await token('bad.jwt', '--nonce', '0'.repeat(64));
    expect((await run(bad)).exit).toBe(2);
  });
});

describe('reference values as CoRIM', () => {
  const full = parseReferenceValues({
    ...referenceJson,
    tdx: { mrtd: 'a'.repeat(96), rtmr1: 'b'.repeat(96), rtmr2: 'c'.repeat(96) },
    vtpm: {
      pcrs: { '4': 'd'.repeat(64), '11': 'e'.repeat(64) },
      events: [{ register: 4, digest: 'd'.repeat(64) }],
    },
    dice: { layers: [{ codeHashes: ['f'.repeat(128)] }] },
    files: { 'a file': '9'.repeat(64) },
  });

  it('are restored unchanged', () => {
    expect(referenceFromCorim(referenceToCorim(full), 0)).toEqual(full);
  });

  it('have the tags and labels of the draft', () => {
    const tags = Tagged.preserve(501, 506, 560);
    const corim: unknown = decode(referenceToCorim(full), { useMaps: true, tags });
    const tagged = (value: unknown, tag: number): unknown => {
      expect(value).toBeInstanceOf(Tagged);
      expect(value).toMatchObject({ tag });
      return value instanceof Tagged ? (value.value as unknown) : undefined;
    };
    const map = z.map(z.number(), z.unknown());
    const top = map.parse(tagged(corim, 501));
    expect(top.get(0)).toBe('cocosai-eos-eos-1');
    const comids = z.array(z.unknown()).parse(top.get(1));
    const comid = map.parse(
      decode(z.instanceof(Uint8Array).parse(tagged(comids[0], 506)), { useMaps: true, tags }),
    );
    const triples = map.parse(comid.get(4)).get(0);
    const [[environment, measurements] = []] = z.array(z.array(z.unknown())).parse(triples);
    expect(map.parse(map.parse(environment).get(0)).get(1)).toBe('CocosAI');
    const kernel = z
      .array(map)
      .parse(measurements)
      .find((measurement) => measurement.get(0) === 'vm.kernel');
    // mval: digests (2) as pairs of the Named Information number of SHA-256 and the value.
    expect(map.parse(kernel?.get(1)).get(2)).toEqual([[1, new Uint8Array(32).fill(0x22)]]);
  });

  it('are accepted by the commands instead of the JSON file', async () => {
    const made = await runCli('attestation', 'corim', at('reference.json'), '--out', at('reference.corim'));
    expect(made.exit).toBe(0);
    expect((await verify('--reference', at('reference.corim'))).exit).toBe(0);
    const cut = write('cut.corim', readFileSync(at('reference.corim')).subarray(0, 200));
    expect((await verify('--reference', cut)).exit).toBe(65);
  });

  it('of several files are one, with a build for each, of different names', async () => {
    const kernel = { name: 'vmlinuz', sha256: '9'.repeat(64) };
    const other = write(
      'other.json',
      JSON.stringify({ ...referenceJson, name: 'other', vm: { ...referenceJson.vm, kernel } }),
    );
    const corim = (...args: string[]) => runCli('attestation', 'corim', ...args);
    expect((await corim(other, at('reference.json'), '--out', at('both.corim'))).exit).toBe(0);
    const verdict = await verify('--reference', at('both.corim'));
    expect(verdict.exit).toBe(0);
    expect(verdict.json).toMatchObject({ build: { name: 'EOS eos-1', of: 2 } });
    expect((await corim(other, '--out', at('one.corim'))).exit).toBe(0);
    expect((await verify('--reference', at('one.corim'))).exit).toBe(2);
    const twice = await corim(other, other, '--out', at('twice.corim'));
    expect({ exit: twice.exit, error: twice.error }).toEqual({ exit: 65, error: 'REFERENCE_INVALID' });
  });

  it('are refused with a duplicate measurement or without EOS', () => {
    const refused = expect.objectContaining({ code: 'REFERENCE_INVALID' });
    const corim = decodeCorim(referenceToCorim(full));
    const [comid] = corim.comids;
    if (comid === undefined) throw new Error('no CoMID');
    const twice = encodeCorim({ id: 'x', comids: [comid, comid] });
    expect(() => referenceFromCorim(twice, 0)).toThrowError(refused);
    const triples = comid.triples.map((triple) => ({ ...triple, vendor: 'somebody else' }));
    const others = encodeCorim({ id: 'x', comids: [{ ...comid, triples }] });
    expect(() => referenceFromCorim(others, 0)).toThrowError(refused);
  });
});

describe.skipIf(!hasVectors)('attestation collateral fetch', () => {
  const serve = async (listener: RequestListener, run: (base: string) => Promise<void>): Promise<void> => {
    const server = createServer(listener);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    try {
      await run(`http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}/`);
    } finally {
      await new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      });
    }
  };
  const vector = (...parts: string[]) => readFileSync(join(vectorsDir(), 'tdx', 'v4-prod-spr', ...parts));
  const fetching = (base: string, ...more: string[]) =>
    runCli('attestation', 'collateral', 'fetch', ...more, '--base-url', base, '--collateral', at('fetched'));

  it('stores an answer with the chain in its header, and sends no secret', async () => {
    const seen: unknown[] = [];
    const chain = encodeURIComponent(vector('tcb_info_issuer_chain.pem').toString('utf8'));
    await serve(
      (request, response) => {
        seen.push(request.headers.authorization, request.headers.cookie, request.url);
        response.setHeader('tcb-info-issuer-chain', chain);
        response.end(vector('tcb_info.json'));
      },
      async (base) => {
        const first = await fetching(base, 'tdx/certification/v4/tcb?fmspc=00806F050000');
        expect(first).toMatchObject({ exit: 0, json: { known: 0 } });
        expect(z.object({ written: z.array(z.string()) }).parse(first.json).written).toHaveLength(3);
        expect(await fetching(base, 'tdx/certification/v4/tcb?fmspc=00806F050000')).toMatchObject({
          json: { written: [], known: 3 },
        });
      },
    );
    expect(seen.slice(0, 3)).toEqual([undefined, undefined, '/tdx/certification/v4/tcb?fmspc=00806F050000']);
  });

  it('fails on errors, slow answers, redirects and other origins', async () => {
    await serve(
      (request, response) => {
        if (request.url === '/slow') return;
        response.writeHead(request.url === '/moved' ? 302 : 429, { location: '/crl' }).end();
      },
      async (base) => {
        for (const path of ['crl', 'moved'])
          expect((await fetching(base, path)).error).toBe('COLLATERAL_UNAVAILABLE');
        expect((await fetching(base, 'slow', '--timeout', '0.2')).error).toBe('COLLATERAL_UNAVAILABLE');
        expect((await fetching(base, 'http://127.0.0.1:9/crl')).exit).toBe(64);
      },
    );
    expect((await fetching('http://name:secret@127.0.0.1:9', 'crl')).exit).toBe(64);
    expect((await fetching('file:///etc', 'passwd')).exit).toBe(64);
  });
});
