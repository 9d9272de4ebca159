import {
  linkSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { z } from 'zod';
import type { FetchRequest, ResultSession } from '../../../src/cli/transfer/result-fetch.ts';
import { fetchResult } from '../../../src/cli/transfer/result-fetch.ts';
import { sha256Text } from '../../../src/crypto/digest.ts';
import { encodeKemKey, encodeSigningKey, generateParticipantKeys } from '../../../src/crypto/keys.ts';
import { generateSigningKeyPair } from '../../../src/crypto/signing.ts';
import { CocosError } from '../../../src/errors.ts';
import { signReceipt } from '../../../src/protocol/receipt.ts';
import { generateContentKey, resultSegments, sealContentKey } from '../../../src/protocol/result.ts';
import { RESULT_MAGIC } from '../../../src/protocol/result-file.ts';
import { SegmentSealer, segmentCount } from '../../../src/protocol/segments.ts';

/** Files of a fetched result, with an agent in memory. */

const SEGMENT = 65_536;
const plaintext = Uint8Array.from({ length: 2 * SEGMENT + 100 }, (_, i) => i & 0xff);
const agentKeys = generateSigningKeyPair();
const keys = generateParticipantKeys();
const manifestDigest = sha256Text(new Uint8Array(1));

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'cocos-fetch-'));
  file = path.join(folder, 'result');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** An agent with one result. `onSegment` runs before each segment. */
function agentWith(
  onSegment: (index: number) => void,
  exitCode = 0,
  content: Uint8Array = plaintext,
): ResultSession {
  const contentKey = generateContentKey();
  const signing = encodeSigningKey(keys.signing.publicKey);
  const { bytes: receipt, signature } = signReceipt(
    {
      version: 1,
      computationId: 'c1',
      manifestDigest,
      algorithmDigest: manifestDigest,
      datasets: [],
      resultDigest: sha256Text(plaintext),
      resultSize: plaintext.length,
      evidenceDigest: manifestDigest,
      platform: 'emulated',
      runtime: 'python 3.11',
      exitCode,
      startedAt: '2026-01-02T03:04:05Z',
      endedAt: '2026-01-02T03:05:05.123Z',
    },
    agentKeys.secretKey,
  );
  const terms = {
    computationId: 'c1',
    aead: 'aes-256-gcm' as const,
    segmentSize: SEGMENT,
    size: plaintext.length,
  };
  const sealedKey = sealContentKey(encodeKemKey(keys.kem), signing, manifestDigest, contentKey);
  const opened = {
    ...terms,
    sealedKey,
    receipt,
    signature,
    agentSigningKey: agentKeys.publicKey,
    ticket: new Uint8Array(32),
    segments: segmentCount(plaintext.length, SEGMENT),
  };
  return {
    call: async <T>(_request: unknown, schema: z.ZodType<T>) => schema.parse(opened),
    bulk: async () => null,
    async *download(_ticket: Uint8Array, firstSegment: number) {
      const sealer = new SegmentSealer(resultSegments({ ...terms, manifestDigest, contentKey }), 0);
      const count = segmentCount(plaintext.length, SEGMENT);
      for (let index = 0; index < count; index++) {
        const plain = content.subarray(index * SEGMENT, (index + 1) * SEGMENT);
        const sealed = sealer.seal(plain, index === count - 1, new Uint8Array(plain.length + 16));
        if (index < firstSegment) continue;
        onSegment(index);
        yield sealed;
      }
    },
  };
}

const request = (): FetchRequest => ({
  file,
  keys,
  manifestDigest,
  agentSigningKey: encodeSigningKey(agentKeys.publicKey),
  audit: {
    evidence: new Uint8Array(1),
    nonce: new Uint8Array(32),
    nonceIssuedAt: 1,
    appraisedAt: 2,
    policy: { digest: manifestDigest, content: new Uint8Array(1) },
    reference: { digest: manifestDigest, content: new Uint8Array(1) },
    collateral: { certificates: [], revocationLists: [], tcbInfos: [], qeIdentities: [] },
  },
  grpcOnly: true,
  onProgress: () => undefined,
  onBroken: () => undefined,
});

const codeOf = (fetching: Promise<unknown>): Promise<string> =>
  fetching.then(
    () => 'nothing',
    (thrown: unknown) => CocosError.from(thrown).code,
  );

describe('fetchResult', () => {
  it('does not overwrite a file that was created meanwhile, and keeps the complete result beside it', async () => {
    const agent = agentWith((index) => {
      if (index === 1) writeFileSync(file, 'mine');
    });
    expect(await codeOf(fetchResult(agent, request()))).toBe('FILE_EXISTS');
    expect(readFileSync(file, 'utf8')).toBe('mine');
    const complete = readFileSync(`${file}.part`);
    rmSync(file);
    await fetchResult(agent, request());
    expect(readFileSync(file).length).toBe(complete.length);
    expect(() => readFileSync(`${file}.part`)).toThrow();
  });

  it('does not overwrite a .part file that is not the beginning of a result', async () => {
    writeFileSync(`${file}.part`, 'mine');
    expect(
      await codeOf(
        fetchResult(
          agentWith(() => undefined),
          request(),
        ),
      ),
    ).toBe('FILE_EXISTS');
    expect(readFileSync(`${file}.part`, 'utf8')).toBe('mine');
  });

  it('does not change a complete result that a crash has left under both names', async () => {
    await fetchResult(
      agentWith(() => undefined),
      request(),
    );
    const kept = path.join(folder, 'kept');
    renameSync(file, kept);
    linkSync(kept, `${file}.part`);
    const before = readFileSync(kept);
    await fetchResult(
      agentWith(() => undefined, 1),
      request(),
    );
    expect(readFileSync(kept).equals(before)).toBe(true);
    expect(readFileSync(file).equals(before)).toBe(false);
  });

  it('keeps the segments of an earlier .part up to the first one that does not open', async () => {
    let fetched: number[] = [];
    const agent = agentWith((index) => fetched.push(index));
    await fetchResult(agent, request());
    const whole = readFileSync(file);
    const headerBytes = 12 + whole.readUInt32BE(8);
    const resume = async (part: Buffer) => {
      rmSync(file);
      writeFileSync(`${file}.part`, part);
      fetched = [];
      await fetchResult(agent, request());
      expect(readFileSync(file).equals(whole)).toBe(true);
      return fetched;
    };
    const altered = (segment: number) => {
      const copy = Buffer.from(whole);
      const position = headerBytes + segment * (4 + SEGMENT + 16) + 1000;
      copy.writeUInt8(copy.readUInt8(position) ^ 1, position);
      return copy;
    };
    expect(await resume(whole.subarray(0, -100))).toEqual([2]);
    expect(await resume(altered(1))).toEqual([1, 2]);
    expect(await resume(altered(0))).toEqual([0, 1, 2]);
  });

  it('does not confirm segments that another consumer forged', async () => {
    // Every consumer knows the content key, so only the digest in the receipt tells.
    const agent = agentWith(
      () => undefined,
      0,
      Uint8Array.from(plaintext, (byte) => byte ^ 1),
    );
    expect(await codeOf(fetchResult(agent, request()))).toBe('RESULT_INVALID');
    expect(readdirSync(folder)).toEqual([]);
  });

  it('does not fetch a result whose receipt is signed by another key than the attested one', async () => {
    const agent = agentWith(() => undefined);
    const other = encodeSigningKey(generateSigningKeyPair().publicKey);
    expect(await codeOf(fetchResult(agent, { ...request(), agentSigningKey: other }))).toBe('RESULT_INVALID');
    expect(readdirSync(folder)).toEqual([]);
  });

  it('does not follow a symbolic link in place of the .part file', async () => {
    const victim = path.join(folder, 'victim');
    writeFileSync(victim, Buffer.concat([RESULT_MAGIC, Buffer.from('of another')]));
    symlinkSync(victim, `${file}.part`);
    const fetching = fetchResult(
      agentWith(() => undefined),
      request(),
    );
    expect(await codeOf(fetching)).toBe('FILE_EXISTS');
    expect(readFileSync(victim, 'utf8')).toBe('COCOSRESof another');
    rmSync(`${file}.part`);
    symlinkSync(path.join(folder, 'created'), `${file}.part`);
    const again = fetchResult(
      agentWith(() => undefined),
      request(),
    );
    expect(await codeOf(again)).toBe('FILE_EXISTS');
    expect(readdirSync(folder)).not.toContain('created');
  });

  it('replaces the beginning of another result', async () => {
    writeFileSync(`${file}.part`, Buffer.concat([RESULT_MAGIC, Buffer.from('cut off')]));
    await fetchResult(
      agentWith(() => undefined),
      request(),
    );
    expect(readFileSync(file).subarray(0, RESULT_MAGIC.length)).toEqual(Buffer.from(RESULT_MAGIC));
  });
});
