import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { checkEventData, dataState, EVENT_QUIRKS } from '../../../src/attestation/eventlog/data.ts';
import { registerName } from '../../../src/attestation/eventlog/log.ts';
import { parseEventLog } from '../../../src/attestation/eventlog/parse.ts';
import { replay, replayRtmrs } from '../../../src/attestation/eventlog/replay.ts';
import { eventTypeName } from '../../../src/attestation/eventlog/types.ts';
import { attestationCrypto as crypto } from '../../../src/crypto/attestation-crypto.ts';
import { eventLog, hash } from '../../fakes/fake-tpm.ts';
import { hasVectors, logsWithExpectations, vectorsDir } from '../../vectors.ts';

const folder = join(vectorsDir(), 'eventlog');
const Expected = z.object({
  file: z.string(),
  kind: z.string(),
  events: z.number(),
  log_ends_at: z.number().optional(),
  algorithms: z.array(z.tuple([z.number(), z.number()])).optional(),
  by_type: z
    .record(z.string(), z.object({ count: z.number(), data_hashes_to_digest: z.number() }))
    .optional(),
  replayed: z.record(z.string(), z.string()).optional(),
  replayed_pcrs: z.record(z.string(), z.record(z.string(), z.string())).optional(),
  upstream_expected_pcrs: z.record(z.string(), z.record(z.string(), z.string())).optional(),
});
const cases = logsWithExpectations(folder);
function open(name: string) {
  const expected = Expected.parse(JSON.parse(readFileSync(join(folder, name, 'expected.json'), 'utf8')));
  return { expected, bytes: new Uint8Array(readFileSync(join(folder, name, expected.file))) };
}
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const invalid = expect.objectContaining({ code: 'EVIDENCE_INVALID' });

describe.skipIf(!hasVectors).each(cases)('event log %s', (name) => {
  it('has the published events', () => {
    const { expected, bytes } = open(name);
    const log = parseEventLog(bytes);
    expect(log.events).toHaveLength(expected.events);
    expect(log.kind).toBe(expected.kind.startsWith('CCEL') ? 'rtmr' : 'pcr');
    if (expected.log_ends_at !== undefined) expect(log.end).toBe(expected.log_ends_at);
    if (expected.by_type === undefined) return;
    const bank = log.kind === 'rtmr' ? 'sha384' : 'sha256';
    const counts: Record<string, { count: number; data_hashes_to_digest: number }> = {};
    for (const event of log.events) {
      const type = eventTypeName(event.type);
      const row = counts[type] ?? { count: 0, data_hashes_to_digest: 0 };
      const digest = createHash(bank).update(event.data).digest('hex');
      const same = digest === hex(event.digests.get(bank) ?? new Uint8Array());
      counts[type] = {
        count: row.count + 1,
        data_hashes_to_digest: row.data_hashes_to_digest + (same ? 1 : 0),
      };
    }
    expect(counts).toEqual(expected.by_type);
  });

  it('replays to the published values, in every bank', () => {
    const { expected, bytes } = open(name);
    const log = parseEventLog(bytes);
    if (expected.replayed !== undefined) {
      const values = replayRtmrs(log, crypto).map(hex);
      expect(values).toEqual(
        ['rtmr0', 'rtmr1', 'rtmr2', 'rtmr3'].map((register) => expected.replayed?.[register]),
      );
    }
    for (const source of [expected.replayed_pcrs, expected.upstream_expected_pcrs]) {
      for (const [bank, pcrs] of Object.entries(source ?? {})) {
        const values = replay(log, z.enum(['sha1', 'sha256', 'sha384', 'sha512']).parse(bank), crypto);
        expect(Object.fromEntries([...values].map(([pcr, value]) => [String(pcr), hex(value)]))).toEqual(
          pcrs,
        );
      }
    }
  });

  it('has data that matches its digests wherever the specification defines them', () => {
    const log = parseEventLog(open(name).bytes);
    // An old shim wrote the log of this machine.
    const known = log.specId === null ? 'variable-authority-padding' : null;
    for (const bank of log.banks) {
      expect(checkEventData(log, bank, [], crypto).ok).toBe(known === null);
      const accepted = checkEventData(log, bank, EVENT_QUIRKS, crypto);
      expect(accepted.ok).toBe(true);
      if (known !== null) expect(accepted.found).toContain(known);
    }
  });

  it('73: is refused if it is truncated inside an event', () => {
    const { bytes } = open(name);
    const { end } = parseEventLog(bytes);
    for (const cut of [1, 5, 17])
      expect(() => parseEventLog(bytes.subarray(0, end - cut))).toThrowError(invalid);
  });
});

describe.skipIf(!hasVectors)('the legacy log', () => {
  it('69: has no strong bank', () => {
    const log = parseEventLog(open('tpm-legacy-sha1-debian-10').bytes);
    expect(log.banks).toEqual(['sha1']);
    for (const bank of ['sha256', 'sha384'] as const) {
      expect(() => replay(log, bank, crypto)).toThrowError(invalid);
    }
  });
});

describe('parseEventLog', () => {
  const event = { register: 1, type: 4, data: new Uint8Array(4) };
  const log = eventLog([event], { banks: ['sha384'] });
  const padded = (...padding: readonly number[]) => Uint8Array.from([...log, ...padding]);

  it('accepts only padding of ones or zeros after the last event', () => {
    const fill = (value: number) => Array.from({ length: 64 }, () => value);
    expect(parseEventLog(padded(...fill(0xff))).events).toHaveLength(1);
    expect(parseEventLog(padded(...fill(0))).events).toHaveLength(1);
    for (const wrong of [[...fill(0xff), 1], [...fill(0), 1], [1], [1, 2, 3, 4, 5]]) {
      expect(() => parseEventLog(padded(...wrong))).toThrowError(invalid);
    }
  });

  it('72: maps index 1 of a CCEL to RTMR 0 and index 0 to MRTD', () => {
    const parsed = parseEventLog(eventLog([event], { banks: ['sha384'] }), 'rtmr');
    expect([0, 1, 4].map((index) => registerName(parsed, index))).toEqual(['MRTD', 'RTMR 0', 'RTMR 3']);
    const extended = hash('sha384', new Uint8Array(48), hash('sha384', event.data));
    expect(replayRtmrs(parsed, crypto).map(hex)).toEqual([hex(extended), ...Array(3).fill('00'.repeat(48))]);
  });

  it('refuses an event in MRTD, which nothing could prove', () => {
    const events = [event, { register: 0, type: 13, data: Buffer.from('any') }];
    const parsed = parseEventLog(eventLog(events, { banks: ['sha384'] }), 'rtmr');
    expect(() => replayRtmrs(parsed, crypto)).toThrowError(
      expect.objectContaining({ details: { check: 'event-log.registers' } }),
    );
    const informative = [event, { register: 0, type: 3, data: Buffer.from('any') }];
    expect(
      replayRtmrs(parseEventLog(eventLog(informative, { banks: ['sha384'] }), 'rtmr'), crypto),
    ).toHaveLength(4);
  });

  it('refuses a register that does not exist', () => {
    const beyond = parseEventLog(eventLog([{ ...event, register: 5 }], { banks: ['sha384'] }), 'rtmr');
    expect(() => replayRtmrs(beyond, crypto)).toThrowError(invalid);
    const pcr = parseEventLog(eventLog([{ ...event, register: 24 }]), 'pcr');
    expect(() => replay(pcr, 'sha256', crypto)).toThrowError(invalid);
  });

  it('starts PCR 0 at the locality that the log names', () => {
    const locality = { register: 0, type: 3, data: Buffer.from('StartupLocality\0\u0003', 'latin1') };
    const values = replay(parseEventLog(eventLog([locality, { ...event, register: 0 }])), 'sha256', crypto);
    const start = new Uint8Array(32).fill(3, 31);
    expect(hex(values.get(0) ?? new Uint8Array())).toBe(
      hex(hash('sha256', start, hash('sha256', event.data))),
    );
  });
});

describe('dataState', () => {
  it('accepts the digest of a boot variable over its data or over the complete variable', () => {
    const name = Buffer.from('BootOrder', 'utf16le');
    const value = Buffer.from([1, 0, 2, 0]);
    const head = Buffer.alloc(32);
    head.writeBigUInt64LE(9n, 16);
    head.writeBigUInt64LE(4n, 24);
    const data = Buffer.concat([head, name, value]);
    const state = (digest: Uint8Array) => {
      const [event] = parseEventLog(
        eventLog([{ register: 1, type: 0x80000002, data, digests: [['sha256', digest]] }]),
      ).events;
      return event === undefined ? null : dataState(event, 'sha256', crypto);
    };
    expect(state(hash('sha256', value))).toBe('defined');
    expect(state(hash('sha256', data))).toBe('defined');
    expect(state(hash('sha256', name))).toBe('mismatch');
  });
});
