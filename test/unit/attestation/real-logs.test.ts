import { generateKeyPairSync } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { verifyTdx, verifyTpm } from '../../../src/attestation/appraisal/standalone.ts';
import { EVENT_QUIRKS, type EventQuirk } from '../../../src/attestation/eventlog/data.ts';
import { parseEventLog } from '../../../src/attestation/eventlog/parse.ts';
import { replay, replayRtmrs } from '../../../src/attestation/eventlog/replay.ts';
import { parsePolicy } from '../../../src/attestation/policy/policy.ts';
import { attestationCrypto as crypto } from '../../../src/crypto/attestation-crypto.ts';
import { runCli } from '../../fakes/cli.ts';
import { AT, createCollateral, createIntel, createQuote } from '../../fakes/fake-intel.ts';
import { attest, ecdsaSignature, type Pcrs, publicArea } from '../../fakes/fake-tpm.ts';
import { flipBit } from '../../fakes/mutate.ts';
import { hasVectors, vectorsDir } from '../../vectors.ts';

/**
 * Every real log of the vectors, in a verdict: a quote of a TPM or of a trust domain covers the values that the log replays
 * to, as it did on the machine that wrote the log.
 */

const folder = path.join(vectorsDir(), 'eventlog');
/** The file of each log, and the deviation of its firmware that a policy has to accept; null for a log as specified. */
const LOGS: Readonly<Record<string, { readonly file: string; readonly quirk: EventQuirk | null }>> = {
  'ccel-cos113-with-quote': { file: 'ccel.bin', quirk: null },
  'ccel-grub-gke': { file: 'ccel.bin', quirk: null },
  'ccel-ovmf': { file: 'ccel.bin', quirk: null },
  'tpm-cos-101-amd-sev': { file: 'eventlog.bin', quirk: null },
  'tpm-cos-85': { file: 'log.bin', quirk: 'variable-authority-padding' },
  'tpm-legacy-sha1-debian-10': { file: 'eventlog.bin', quirk: 'variable-authority-padding' },
  'tpm-rhel8-uefi': { file: 'eventlog.bin', quirk: null },
  'tpm-ubuntu-2404-amd-sevsnp': { file: 'eventlog.bin', quirk: null },
  'tpm-windows-option-rom': { file: 'log.bin', quirk: null },
};
const ALL = Object.entries(LOGS).map(([name, { file, quirk }]) => ({
  name,
  quirk,
  bytes: hasVectors ? new Uint8Array(readFileSync(path.join(folder, name, file))) : new Uint8Array(),
}));
const kindOf = (bytes: Uint8Array) => {
  const { kind, banks } = parseEventLog(bytes);
  return kind === 'rtmr' ? 'rtmr' : banks.includes('sha256') ? 'pcr' : 'old';
};
const of = (kind: 'rtmr' | 'pcr' | 'old') =>
  hasVectors ? ALL.filter(({ bytes }) => kindOf(bytes) === kind) : [];

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const challenge = new TextEncoder().encode('challenge');

/** A TPM with these values, and this log beside its quote. */
function tpmVerdict(
  values: ReadonlyMap<'sha1' | 'sha256', Pcrs>,
  eventLog: Uint8Array,
  acceptedEventQuirks: readonly EventQuirk[],
) {
  const statement = attest(values, { extraData: challenge });
  const policy = parsePolicy({ version: 1, platforms: ['snp'], vtpm: { acceptedEventQuirks } });
  const signature = ecdsaSignature(statement, privateKey);
  const input = { attest: statement, signature, key: publicArea(privateKey), qualifyingData: challenge };
  return verifyTpm({ ...input, pcrs: values, eventLog, policy, at: 0, crypto });
}
const pcrsOf = (bytes: Uint8Array, bank: 'sha1' | 'sha256') =>
  // A quote digests its PCRs in ascending order.
  new Map([
    [bank, new Map([...replay(parseEventLog(bytes), bank, crypto)].toSorted(([a], [b]) => a - b))] as const,
  ]);

const intel = createIntel();
function tdxVerdict(rtmrs: readonly Uint8Array[], eventLog: Uint8Array) {
  const quote = createQuote(intel, {
    beforeSigning: (signed, body) => {
      rtmrs.forEach((value, index) => {
        signed.set(value, body + 328 + 48 * index);
      });
    },
  });
  const policy = parsePolicy({ version: 1, platforms: ['tdx'], tdx: { trustedRoots: [intel.rootDigest] } });
  return verifyTdx({ quote, eventLog, collateral: createCollateral(intel), policy, at: AT, crypto });
}

describe.skipIf(!hasVectors)('real event logs', () => {
  it('are all in the table', () => {
    const folders = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    expect(folders.map(({ name }) => name).toSorted()).toEqual(Object.keys(LOGS).toSorted());
    expect([of('rtmr'), of('pcr'), of('old')].map((logs) => logs.length)).toEqual([3, 4, 2]);
  });

  it.each(of('pcr'))(
    'of a TPM are accepted, and the verdict names a deviation: $name',
    ({ bytes, quirk }) => {
      const values = pcrsOf(bytes, 'sha256');
      const strict = tpmVerdict(values, bytes, []);
      expect(strict.failures).toEqual(quirk === null ? [] : ['vtpm.event-data']);
      const accepted = tpmVerdict(values, bytes, quirk === null ? [] : [quirk]);
      expect(accepted.failures).toEqual([]);
      const data = accepted.checks.find(({ name }) => name === 'vtpm.event-data');
      expect(data?.found).toBe(
        quirk === null ? 'as specified' : `as specified, with the accepted quirk ${quirk}`,
      );
      for (const other of EVENT_QUIRKS.filter((each) => quirk !== null && each !== quirk))
        expect(tpmVerdict(values, bytes, [other]).failures).toEqual(['vtpm.event-data']);
    },
  );

  it.each(of('rtmr'))('of a trust domain are accepted: $name', ({ bytes }) => {
    const verdict = tdxVerdict(replayRtmrs(parseEventLog(bytes), crypto), bytes);
    expect(verdict.failures).toEqual([]);
    const check = verdict.checks.find(({ name }) => name === 'tdx.event-log');
    expect(check).toMatchObject({ outcome: 'passed', found: expect.stringContaining('data as specified') });
  });

  it.each(of('old'))(
    'with SHA-1 alone are read, and refused beside a quote: $name',
    async ({ name, bytes, quirk }) => {
      const quirks = quirk === null ? [] : [quirk];
      expect(tpmVerdict(pcrsOf(bytes, 'sha1'), bytes, quirks).failures).toContain('vtpm.bank');
      const run = await runCli('attestation', 'replay', path.join(folder, name, LOGS[name]?.file ?? ''));
      expect(run).toMatchObject({ exit: 0, json: { bank: 'sha1' } });
    },
  );

  it.each([...of('pcr'), ...of('rtmr')])('are refused with any digest changed: $name', ({ bytes }) => {
    const log = parseEventLog(bytes);
    const rtmrs = log.kind === 'rtmr' ? replayRtmrs(log, crypto) : null;
    const values = rtmrs === null ? pcrsOf(bytes, 'sha256') : null;
    for (const event of log.events.filter(({ type }) => type !== 3)) {
      const digest = event.digests.get(rtmrs === null ? 'sha256' : 'sha384') ?? new Uint8Array();
      const changed = flipBit(bytes, (digest.byteOffset - bytes.byteOffset) * 8);
      const verdict =
        rtmrs === null ? tpmVerdict(values ?? new Map(), changed, EVENT_QUIRKS) : tdxVerdict(rtmrs, changed);
      expect(verdict.failures).toContain(rtmrs === null ? 'vtpm.event-log' : 'tdx.event-log');
    }
  });
});
