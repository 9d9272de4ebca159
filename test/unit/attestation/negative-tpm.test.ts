import { constants, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type TpmInput, verifyTpm } from '../../../src/attestation/appraisal/standalone.ts';
import { parsePolicy } from '../../../src/attestation/policy/policy.ts';
import { parseSnpReport } from '../../../src/attestation/snp/abi.ts';
import { parseAttest } from '../../../src/attestation/tpm/attest.ts';
import { bindsClaims, parseHclReport } from '../../../src/attestation/tpm/hcl.ts';
import { parsePcrFile } from '../../../src/attestation/tpm/pcr-file.ts';
import type { PcrBanks } from '../../../src/attestation/tpm/quote-input.ts';
import { parsePublicKey, sameKey } from '../../../src/attestation/x509/public-key.ts';
import { attestationCrypto as crypto } from '../../../src/crypto/attestation-crypto.ts';
import {
  type AttestOptions,
  attest,
  type Bank,
  ecdsaSignature,
  eventLog,
  extendAll,
  hash,
  type LogEvent,
  publicArea,
  rsaSignature,
} from '../../fakes/fake-tpm.ts';
import { hasVectors, vectorsDir } from '../../vectors.ts';

const NONCE = Uint8Array.from({ length: 32 }, (_, i) => i);
const { privateKey: key } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const text = (value: string): Uint8Array => new TextEncoder().encode(value);

const events: readonly LogEvent[] = [
  { register: 0, type: 8, data: text('firmware 1\0') },
  {
    register: 4,
    type: 0x80000003,
    data: text('kernel'),
    digests: [['sha256', hash('sha256', text('the kernel'))]],
  },
  { register: 7, type: 4, data: new Uint8Array(4) },
  { register: 4, type: 4, data: new Uint8Array(4) },
  { register: 0, type: 3, data: text('nothing') },
];
const values = (bank: Bank = 'sha256', list = events): ReadonlyMap<Bank, ReadonlyMap<number, Uint8Array>> =>
  new Map([[bank, extendAll(list, bank)]]);

interface Change {
  readonly attest?: AttestOptions;
  readonly policy?: object;
  readonly pcrs?: PcrBanks | null;
  readonly log?: Uint8Array | null;
  readonly input?: Partial<TpmInput>;
}

function verify(change: Change = {}) {
  const statement = attest(values(), { extraData: NONCE, ...change.attest });
  return verifyTpm({
    attest: statement,
    signature: ecdsaSignature(statement, key),
    key: publicArea(key),
    qualifyingData: NONCE,
    pcrs: change.pcrs === undefined ? values() : change.pcrs,
    eventLog: change.log === null ? undefined : (change.log ?? eventLog(events)),
    policy: parsePolicy({ version: 1, platforms: ['snp'], vtpm: change.policy ?? {} }),
    at: 0,
    crypto,
    ...change.input,
  });
}
const failures = (change: Change = {}) => verify(change).failures;

describe('verifyTpm', () => {
  it('accepts a quote with its values and its log, and each of them alone', () => {
    expect(failures()).toEqual([]);
    expect(failures({ log: null })).toEqual([]);
    expect(failures({ pcrs: null })).toEqual([]);
    expect(failures({ pcrs: null, log: null })).toEqual([]);
    expect(failures({ pcrs: null, log: null, policy: { requiredPcrs: [0] } })).toEqual(['vtpm.pcr-digest']);
  });

  it('accepts P-384 and RSA keys in both schemes', () => {
    const { privateKey: p384 } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
    const wide = attest(values(), { extraData: NONCE, digestHash: 'sha384' });
    const signature = ecdsaSignature(wide, p384, 'sha384');
    expect(failures({ input: { attest: wide, signature, key: publicArea(p384) } })).toEqual([]);
    const { privateKey: rsa } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const spki = new Uint8Array(createPublicKey(rsa).export({ format: 'der', type: 'spki' }));
    const statement = attest(values(), { extraData: NONCE });
    const pkcs1 = sign('sha256', statement, rsa);
    const pss = sign('sha256', statement, {
      key: rsa,
      padding: constants.RSA_PKCS1_PSS_PADDING,
      saltLength: 32,
    });
    const rsaCase = (scheme: number, value: Uint8Array) =>
      failures({ input: { attest: statement, signature: rsaSignature(scheme, 'sha256', value), key: spki } });
    expect(rsaCase(0x14, pkcs1)).toEqual([]);
    expect(rsaCase(0x16, pss)).toEqual([]);
    // 64: one scheme declared, the other used.
    expect(rsaCase(0x14, pss)).toEqual(['vtpm.signature']);
    expect(rsaCase(0x16, pkcs1)).toEqual(['vtpm.signature']);
    const weak = rsaSignature(0x14, 'sha1', sign('sha1', statement, rsa));
    expect(failures({ input: { attest: statement, signature: weak, key: spki } })).toEqual(['vtpm.scheme']);
  });
});

describe('verifyTpm, on the TPM quotes of negative.md,', () => {
  it('56: refuses a statement that no TPM generated', () => {
    expect(failures({ attest: { magic: 0xff544346 } })).toEqual(['vtpm.magic']);
  });

  it('57: refuses a statement that is not a quote', () => {
    expect(failures({ attest: { type: 0x8017 } })).toEqual(['vtpm.type']);
  });

  it('58: refuses another nonce, and a longer or shorter one', () => {
    for (const extraData of [new Uint8Array(32), NONCE.subarray(0, 31), Uint8Array.from([...NONCE, 0])]) {
      expect(failures({ attest: { extraData } })).toEqual(['vtpm.qualifying-data']);
    }
  });

  it('59: refuses a PCR value that was not quoted', () => {
    const changed = new Map(extendAll(events)).set(4, new Uint8Array(32));
    expect(failures({ pcrs: new Map([['sha256', changed]]), log: null })).toEqual(['vtpm.pcr-digest']);
    const missing = new Map(extendAll(events));
    missing.delete(4);
    expect(failures({ pcrs: new Map([['sha256', missing]]), log: null })).toEqual(['vtpm.pcr-digest']);
  });

  it('60: refuses a quote without a required PCR', () => {
    expect(failures({ policy: { requiredPcrs: [0, 4, 7] } })).toEqual([]);
    expect(failures({ policy: { requiredPcrs: [9] } })).toEqual(['vtpm.selection']);
    expect(failures({ policy: { pcrs: { sha256: { 9: '00'.repeat(32) } } } })).toContain('vtpm.selection');
  });

  it('61: refuses a quote of only the SHA-1 bank', () => {
    const sha1 = values('sha1', events.slice(0, 1));
    const statement = attest(sha1, { extraData: NONCE });
    const input = { attest: statement, signature: ecdsaSignature(statement, key) };
    expect(failures({ input, pcrs: sha1, log: null })).toEqual(['vtpm.bank']);
    const selection = [{ bank: 'sha256', pcrs: [] }] as const;
    expect(failures({ attest: { selection }, log: null })).toEqual(['vtpm.bank']);
  });

  it('62: refuses bytes after the statement', () => {
    expect(failures({ attest: { trailing: Uint8Array.of(0) } })).toEqual(['vtpm.trailing-bytes']);
  });

  it('64: refuses a signature with a weak hash, or with another hash than the key declares', () => {
    const statement = attest(values(), { extraData: NONCE });
    const sha1 = ecdsaSignature(statement, key, 'sha1');
    expect(failures({ input: { attest: statement, signature: sha1 } })).toEqual(['vtpm.scheme']);
    const sha384 = ecdsaSignature(statement, key, 'sha384');
    expect(failures({ input: { attest: statement, signature: sha384 } })).toEqual(['vtpm.scheme']);
    const mislabelled = ecdsaSignature(statement, key, 'sha384', 'sha256');
    expect(failures({ input: { attest: statement, signature: mislabelled } })).toEqual(['vtpm.signature']);
  });

  it('refuses a signature by another key, and a truncated signature', () => {
    const { privateKey: other } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    expect(failures({ input: { key: publicArea(other) } })).toEqual(['vtpm.signature']);
    const statement = attest(values(), { extraData: NONCE });
    const signature = ecdsaSignature(statement, key);
    for (const cut of [signature.subarray(0, -1), Uint8Array.from([...signature, 0]), new Uint8Array()]) {
      expect(failures({ input: { attest: statement, signature: cut } })).toEqual(['vtpm.signature']);
    }
  });

  it.each([
    ['not restricted', 0x40072],
    ['not signing', 0x10072],
    ['decrypting as well', 0x70072],
    ['able to leave its TPM', 0x50070],
  ])('refuses a key that is %s', (_, attributes) => {
    expect(failures({ input: { key: publicArea(key, attributes) } })).toEqual(['vtpm.key-attributes']);
  });

  it('refuses a clock that may have been set back, if the policy requires it', () => {
    expect(failures({ attest: { safe: 0 } })).toEqual([]);
    expect(failures({ attest: { safe: 0 }, policy: { requireSafeClock: true } })).toEqual(['vtpm.safe']);
  });

  it('compares PCR values with the policy', () => {
    const pcr4 = Buffer.from(extendAll(events).get(4) ?? []).toString('hex');
    expect(failures({ policy: { pcrs: { sha256: { 4: pcr4 } } } })).toEqual([]);
    expect(failures({ policy: { pcrs: { sha256: { 4: '00'.repeat(32) } } } })).toEqual(['vtpm.pcrs']);
  });

  it('reports the quoted PCRs as unknown that nothing is given to compare with', () => {
    const pcr4 = Buffer.from(extendAll(events).get(4) ?? []).toString('hex');
    const { checks } = verify({ policy: { pcrs: { sha256: { 4: pcr4 } } } });
    const { outcome, note } = checks.find(({ name }) => name === 'vtpm.pcrs') ?? {};
    expect(outcome).toBe('passed');
    expect(note).toContain('PCR 0 (the firmware), PCR 7 (the Secure Boot variables)');
    expect(note).not.toContain('PCR 4');
  });

  it('requires an event log if the policy does', () => {
    const verdict = verify({ log: null, policy: { requireEventLog: true } });
    expect(verdict.failures).toEqual(['vtpm.event-log']);
    expect(verdict.missing).toEqual(['vtpm.event-log']);
  });
});

describe('verifyTpm, on the event logs of negative.md,', () => {
  const withLog = (list: readonly LogEvent[]) => failures({ log: eventLog(list) });
  const changed = (index: number, change: Partial<LogEvent>) =>
    withLog(events.map((event, i) => (i === index ? { ...event, ...change } : event)));

  it('65: refuses another digest', () => {
    expect(changed(1, { digests: [['sha256', new Uint8Array(32)]] })).toEqual(['vtpm.event-log']);
  });

  it('66: does not trust data that does not match its digest', () => {
    const [first] = events;
    const digests = [['sha256', hash('sha256', first?.data ?? new Uint8Array())]] as const;
    expect(changed(0, { data: text('firmware 2\0'), digests })).toEqual(['vtpm.event-data']);
    // The data of a boot application is a description; its digest is of the program.
    expect(changed(1, { data: text('another') })).toEqual([]);
  });

  it('67: refuses two swapped events of one register', () => {
    const [a, b, c, d, ...rest] = events;
    expect(withLog([a, d, c, b, ...rest].filter((event) => event !== undefined))).toEqual(['vtpm.event-log']);
  });

  it('68: refuses a log that lacks its last event, also the only one of its register', () => {
    expect(withLog(events.slice(0, 3))).toEqual(['vtpm.event-log']);
    expect(withLog(events.filter(({ register }) => register !== 7))).toEqual(['vtpm.event-log']);
  });

  it('69: refuses a log without the quoted bank, and an event without a bank of the header', () => {
    const sha1 = events.map(({ digests: _, ...event }) => event);
    expect(failures({ log: eventLog(sha1, { banks: ['sha1'] }) })).toEqual(['event-log.banks']);
    const log = eventLog(events, { banks: ['sha256'], headerBanks: ['sha1', 'sha256'] });
    expect(failures({ log })).toEqual(['event-log.banks']);
  });

  it('70: refuses an algorithm that is missing in the header or listed twice', () => {
    const digest = new Uint8Array(32);
    expect(changed(1, { digests: [['sha384', new Uint8Array(48)]] })).toEqual(['event-log.algorithms']);
    expect(
      changed(1, {
        digests: [
          ['sha256', digest],
          ['sha256', digest],
        ],
      }),
    ).toEqual(['event-log.algorithms']);
    const twice = eventLog(events, { banks: ['sha256'], headerBanks: ['sha256', 'sha256'] });
    expect(failures({ log: twice })).toEqual(['event-log.algorithms']);
  });

  it('71: does not extend EV_NO_ACTION events', () => {
    const extended = new Map([
      ['sha256' as const, extendAll(events.map((e) => (e.type === 3 ? { ...e, type: 4 } : e)))],
    ]);
    const statement = attest(extended, { extraData: NONCE });
    const input = { attest: statement, signature: ecdsaSignature(statement, key) };
    expect(failures({ input, pcrs: extended })).toEqual(['vtpm.event-log']);
  });

  it('73: refuses a log that is truncated inside an event', () => {
    const log = eventLog(events);
    expect(failures({ log: log.subarray(0, log.length - 3) })).toEqual(['event-log.form']);
    expect(failures({ log: Uint8Array.from([...log, 1]) })).toEqual(['event-log.form']);
  });

  it('names the first event that differs from the reference log', () => {
    const reference = {
      bank: 'sha256' as const,
      pcrs: {},
      events: events
        .filter(({ type }) => type !== 3)
        .map(({ register, data, digests }) => ({
          register,
          digest: Buffer.from(digests?.[0]?.[1] ?? hash('sha256', data)).toString('hex'),
        })),
    };
    expect(failures({ input: { reference } })).toEqual([]);
    const other = reference.events.map((e, i) =>
      i === 2 ? { ...e, digest: '00'.repeat(32), description: 'Secure Boot' } : e,
    );
    const verdict = verify({ input: { reference: { ...reference, events: other } } });
    expect(verdict.failures).toEqual(['vtpm.reference-log']);
    expect(verdict.checks.find(({ name }) => name === 'vtpm.reference-log')).toMatchObject({
      expected: `PCR 7 ${'00'.repeat(32)} (Secure Boot)`,
      found: expect.stringMatching(/^event 3, EV_SEPARATOR, PCR 7 [0-9a-f]{64}$/),
    });
  });

  it('accepts a PCR that is extended without log entries, if the policy lists it', () => {
    const ima = new Map(extendAll(events)).set(10, new Uint8Array(32).fill(9));
    const pcrs = new Map([['sha256' as const, ima]]);
    const statement = attest(pcrs, { extraData: NONCE });
    const input = { attest: statement, signature: ecdsaSignature(statement, key) };
    expect(failures({ input, pcrs })).toEqual(['vtpm.event-log']);
    expect(failures({ input, pcrs, policy: { unloggedPcrs: [10] } })).toEqual([]);
  });
});

describe.skipIf(!hasVectors)('the quote of a cloud vTPM', () => {
  const load = (name: string) =>
    new Uint8Array(readFileSync(join(vectorsDir(), 'tpm-quote/azure-snp-vtpm', name)));
  const Expected = z.object({
    attest: z.object({
      qualified_signer: z.string(),
      extra_data: z.string(),
      clock: z.string(),
      reset_count: z.number(),
      restart_count: z.number(),
      firmware_version: z.string(),
      pcr_digest: z.string(),
    }),
  });
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

  it('parses to the published fields', () => {
    const { attest: want } = Expected.parse(JSON.parse(Buffer.from(load('expected.json')).toString()));
    const parsed = parseAttest(load('attest.bin'));
    expect(hex(parsed.qualifiedSigner)).toBe(want.qualified_signer);
    expect(hex(parsed.extraData)).toBe(want.extra_data);
    expect(parsed.clock).toBe(BigInt(want.clock));
    expect([parsed.resetCount, parsed.restartCount]).toEqual([want.reset_count, want.restart_count]);
    expect(parsed.firmwareVersion).toBe(BigInt(want.firmware_version));
    expect(hex(parsed.quote?.pcrDigest ?? new Uint8Array())).toBe(want.pcr_digest);
    expect(parsed.quote?.selections).toEqual([
      { algorithm: 0xb, bank: 'sha256', pcrs: Array.from({ length: 24 }, (_, i) => i) },
    ]);
  });

  it('63: has a key that the claims name, and the report binds the claims', () => {
    const { report, claims, attestationKey } = parseHclReport(load('hcl-report.bin'));
    expect(hex(report)).toBe(hex(load('snp-report.bin')));
    expect(hex(claims)).toBe(hex(load('runtime-claims.json')));
    expect(bindsClaims(parseSnpReport(report).reportData, claims, crypto)).toBe(true);
    const other = Uint8Array.from(claims);
    other[100] = (other[100] ?? 0) ^ 1;
    expect(bindsClaims(parseSnpReport(report).reportData, other, crypto)).toBe(false);
    const pem = createPublicKey(Buffer.from(load('ak.pem'))).export({ format: 'der', type: 'spki' });
    expect(sameKey(parsePublicKey(new Uint8Array(pem)), attestationKey)).toBe(true);
  });
});

describe('parsePcrFile', () => {
  it('reads a list, banks, and the output of tpm2_pcrread', () => {
    const value = 'ab'.repeat(32);
    const want = new Uint8Array(Buffer.from(value, 'hex'));
    for (const source of [
      JSON.stringify([value]),
      JSON.stringify({ sha256: { 0: value } }),
      `  sha256:\n    0 : 0x${value.toUpperCase()}\n`,
    ]) {
      expect(parsePcrFile(source).get('sha256')?.get(0)).toEqual(want);
    }
  });

  it.each(['', '[]', '{"md5":{}}', '{"sha256":{"24":"00"}}', 'sha256:\n  nonsense\n', '["ab"]', '{'])(
    'refuses %j',
    (source) => {
      if (source === '') expect(parsePcrFile(source).size).toBe(0);
      else
        expect(() => parsePcrFile(source)).toThrowError(
          expect.objectContaining({ code: 'EVIDENCE_INVALID' }),
        );
    },
  );
});
