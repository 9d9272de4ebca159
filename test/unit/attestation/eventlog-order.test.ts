import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkEventData, EVENT_QUIRKS } from '../../../src/attestation/eventlog/data.ts';
import { parseEventLog } from '../../../src/attestation/eventlog/parse.ts';
import { attestationCrypto as crypto } from '../../../src/crypto/attestation-crypto.ts';
import { eventLog } from '../../fakes/fake-tpm.ts';
import { hasVectors, vectorsDir } from '../../vectors.ts';

/** Logs whose replay is right and whose content contradicts itself (TCG PC Client Platform Firmware Profile). */

const ascii = (text: string): Buffer => Buffer.from(text, 'latin1');
const separator = (register: number, data: Uint8Array = new Uint8Array(4)) => ({ register, type: 4, data });
const variable = (name: string, value: Uint8Array): Buffer => {
  const head = Buffer.alloc(32);
  head.writeBigUInt64LE(BigInt(name.length), 16);
  head.writeBigUInt64LE(BigInt(value.length), 24);
  return Buffer.concat([head, Buffer.from(name, 'utf16le'), value]);
};
const secureBoot = (register: number, on: number) => ({
  ...{ register, type: 0x80000001, data: variable('SecureBoot', Uint8Array.of(on)) },
});
const specId = (() => {
  const log = eventLog([separator(0)]);
  // Header event: register, type, 20 bytes of digest, size, data.
  const size = new DataView(log.buffer, log.byteOffset).getUint32(28, true);
  return log.slice(32, 32 + size);
})();
const locality = { register: 0, type: 3, data: ascii('StartupLocality\0\u0003') };
const version = { register: 0, type: 8, data: ascii('v\0') };

const violation = (what: string) =>
  expect.objectContaining({
    code: 'EVIDENCE_INVALID',
    message: expect.stringContaining(what),
    details: { check: 'event-log.order' },
  });

describe('an event log is refused', () => {
  it.each([
    ['with a second header', [version, { register: 0, type: 3, data: specId }], 'a second header'],
    [
      'with a second separator in a PCR of the firmware',
      [separator(3), separator(3)],
      'a second separator in PCR 3',
    ],
    ['with a separator that reports an error', [separator(4, Uint8Array.of(1, 0, 0, 0))], 'failed boot'],
    ['with a separator of other content', [separator(4, ascii('any text'))], 'unknown data'],
    [
      'with a Secure Boot variable after the separator of PCR 7',
      [secureBoot(7, 0), separator(7), secureBoot(7, 1)],
      'measures a Secure Boot variable after the separator',
    ],
    ['with a startup locality after an extension of PCR 0', [version, locality], 'startup locality'],
    ['with two startup localities', [locality, locality], 'startup locality'],
  ])('%s', (_, events, problem) => {
    expect(() => parseEventLog(eventLog(events), 'pcr')).toThrowError(violation(problem));
  });

  it('of a TDX guest with a Secure Boot variable after the last separator of RTMR 0', () => {
    const events = [secureBoot(1, 0), separator(1), separator(1), secureBoot(1, 1)];
    expect(() => parseEventLog(eventLog(events, { banks: ['sha384'] }), 'rtmr')).toThrowError(
      violation('Secure Boot variable'),
    );
  });

  it.each([
    [
      'with a separator that reports an error in RTMR 0',
      [separator(1, Uint8Array.of(1, 0, 0, 0))],
      'failed boot',
    ],
    ['with a separator of other content in RTMR 1', [separator(2, ascii('any text'))], 'unknown data'],
    [
      'with more separators in RTMR 0 than PCRs in it',
      Array.from({ length: 3 }, () => separator(1)),
      'too many in RTMR 0',
    ],
    [
      'with more separators in RTMR 1 than PCRs in it',
      Array.from({ length: 6 }, () => separator(2)),
      'too many in RTMR 1',
    ],
    ['with a second separator in MRTD', [separator(0), separator(0)], 'second separator in MRTD'],
    [
      'with a Secure Boot variable between the separators of RTMR 0',
      [secureBoot(1, 0), separator(1), secureBoot(1, 1), separator(1)],
      'Secure Boot variable',
    ],
  ])('of a TDX guest %s', (_, events, problem) => {
    expect(() => parseEventLog(eventLog(events, { banks: ['sha384'] }), 'rtmr')).toThrowError(
      violation(problem),
    );
  });
});

describe('an event log is accepted', () => {
  it('of a TDX guest with a separator for each PCR, another driver between them, and what the system logs', () => {
    const other = { register: 1, type: 0x80000001, data: variable('Setup', Uint8Array.of(1)) };
    const events = [
      ...[secureBoot(1, 1), separator(1), other, separator(1)],
      ...Array.from({ length: 5 }, () => separator(2)),
      ...[separator(3, ascii('any')), separator(3, ascii('any'))],
    ];
    expect(parseEventLog(eventLog(events, { banks: ['sha384'] }), 'rtmr').events).toHaveLength(events.length);
  });

  it('with what firmware does', () => {
    const events = [locality, version, secureBoot(7, 1), ...[0, 1, 2, 7].map((pcr) => separator(pcr))];
    expect(parseEventLog(eventLog(events), 'pcr').events).toHaveLength(events.length);
    const ones = new Uint8Array(4).fill(0xff);
    expect(parseEventLog(eventLog([separator(0, ones)]), 'pcr').events).toHaveLength(1);
  });

  it('with separators of the operating system in its own PCRs', () => {
    const events = [separator(12, ascii('WBCL')), separator(12, ascii('WBCL'))];
    expect(parseEventLog(eventLog(events), 'pcr').events).toHaveLength(2);
  });

  it('with an informative event in register 0xffffffff at its end', () => {
    const events = [separator(0), { register: 0xffff_ffff, type: 3, data: ascii('end') }];
    expect(parseEventLog(eventLog(events), 'pcr').events).toHaveLength(2);
  });
});

describe.skipIf(!hasVectors)('real logs (vectors)', () => {
  const read = (name: string) =>
    new Uint8Array(readFileSync(join(vectorsDir(), 'eventlog', name, 'log.bin')));

  it('of shim are accepted under the policy member for its padding, which the verdict names', () => {
    const log = parseEventLog(read('tpm-cos-85'));
    const strict = checkEventData(log, 'sha256', [], crypto);
    expect(strict).toEqual({
      ok: false,
      found: expect.stringContaining('variable-authority-padding, which the policy does not accept'),
    });
    const accepted = checkEventData(log, 'sha256', EVENT_QUIRKS, crypto);
    expect(accepted).toEqual({ ok: true, found: expect.stringContaining('variable-authority-padding') });
  });

  it('of Windows with an event after the end mark are read completely', () => {
    const log = parseEventLog(read('tpm-windows-option-rom'));
    expect(log.events.at(-1)).toMatchObject({ register: 0xffff_ffff, type: 3 });
  });
});

describe('the quirks of EV_EFI_VARIABLE_AUTHORITY', () => {
  const data = variable('db', ascii('certificate'));
  const stateOf = (digestOf: Uint8Array, logged: Uint8Array) => {
    const digests = [['sha256', crypto.sha256(digestOf)]] as const;
    const log = parseEventLog(eventLog([{ register: 7, type: 0x800000e0, data: logged, digests }]), 'pcr');
    return checkEventData(log, 'sha256', EVENT_QUIRKS, crypto);
  };

  it('cover the certificate', () => {
    expect(stateOf(ascii('certificate'), data).found).toContain('variable-authority-data');
    const padded = Buffer.concat([data, Buffer.alloc(6)]);
    expect(stateOf(padded.subarray(0, -1), padded).found).toContain('variable-authority-padding');
    expect(stateOf(data.subarray(0, -1), data).ok).toBe(false);
    const long = Buffer.concat([data, Buffer.alloc(8)]);
    expect(stateOf(long.subarray(0, -1), long).ok).toBe(false);
  });
});
