import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { verifyTdx } from '../../../src/attestation/appraisal/standalone.ts';
import type { Verdict } from '../../../src/attestation/appraisal/verdict.ts';
import { NO_COLLATERAL } from '../../../src/attestation/collateral/collateral.ts';
import { parsePolicy } from '../../../src/attestation/policy/policy.ts';
import { parsePckExtensions } from '../../../src/attestation/tdx/pck.ts';
import { parseTdxQuote, readQuoteChain } from '../../../src/attestation/tdx/quote.ts';
import { parseCertificate } from '../../../src/attestation/x509/certificate.ts';
import { parseCrl } from '../../../src/attestation/x509/crl.ts';
import { attestationCrypto as crypto } from '../../../src/crypto/attestation-crypto.ts';
import { openTdx, TDX_CASES, type TdxVector } from '../../fakes/tdx-vectors.ts';
import { hasVectors, vectorsDir } from '../../vectors.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const policy = parsePolicy({ version: 1, platforms: ['tdx'] });

function verify({ quote, collateral, at }: TdxVector, tdx: object = {}): Verdict {
  return verifyTdx({
    quote,
    collateral,
    at,
    policy: parsePolicy({ version: 1, platforms: ['tdx'], tdx }),
    crypto,
  });
}
const failed = (verdict: Verdict) =>
  verdict.checks.filter((check) => check.outcome === 'failed').map((check) => check.name);
const outcome = (verdict: Verdict, name: string) => verdict.checks.find((check) => check.name === name);

const Expected = z.object({
  version: z.number(),
  user_data: z.string(),
  qe_vendor_id: z.string(),
  body: z.record(z.string(), z.string()),
  signed_length: z.number(),
  trailing_after_sig: z.number(),
  qe_report: z.record(z.string(), z.union([z.string(), z.number()])),
  qe_auth_data: z.string(),
  pck: z.object({
    ppid: z.string(),
    pcesvn: z.number(),
    cpusvn: z.string(),
    tcb_components: z.array(z.number()),
    pceid: z.string(),
    fmspc: z.string(),
  }),
  chain: z.array(z.object({ sha256: z.string(), serial: z.string() })),
  attestation_key: z.string(),
});

describe.skipIf(!hasVectors).each(TDX_CASES)('TDX quote %s', (name) => {
  it('parses to the published fields', () => {
    const vector = openTdx(name);
    const want = Expected.parse(vector.expected);
    const quote = parseTdxQuote(vector.quote);
    const { body, qeReport } = quote;
    expect(quote.version).toBe(want.version);
    expect(hex(quote.userData)).toBe(want.user_data);
    expect(hex(quote.qeVendor)).toBe(want.qe_vendor_id);
    expect(quote.signed).toHaveLength(want.signed_length);
    expect(quote.trailing).toHaveLength(want.trailing_after_sig);
    expect(`0x${hex(quote.attestationKey)}`).toBe(want.attestation_key);
    expect(hex(quote.qeAuthData)).toBe(want.qe_auth_data);
    expect({
      tee_tcb_svn: hex(body.teeTcbSvn),
      mrseam: hex(body.mrSeam),
      mrsignerseam: hex(body.mrSignerSeam),
      seam_attributes: hex(body.seamAttributes),
      td_attributes: hex(body.tdAttributes),
      xfam: hex(body.xfam),
      mrtd: hex(body.mrtd),
      mrconfigid: hex(body.mrConfigId),
      mrowner: hex(body.mrOwner),
      mrownerconfig: hex(body.mrOwnerConfig),
      rtmr0: hex(body.rtmrs[0]),
      rtmr1: hex(body.rtmrs[1]),
      rtmr2: hex(body.rtmrs[2]),
      rtmr3: hex(body.rtmrs[3]),
      report_data: hex(body.reportData),
      ...(body.td15 === null
        ? {}
        : { tee_tcb_svn_2: hex(body.td15.teeTcbSvn2), mrservicetd: hex(body.td15.mrServiceTd) }),
    }).toEqual(want.body);
    expect({
      cpusvn: hex(qeReport.cpuSvn),
      miscselect: hex(qeReport.miscSelect),
      attributes: hex(qeReport.attributes),
      mrenclave: hex(qeReport.mrEnclave),
      mrsigner: hex(qeReport.mrSigner),
      isvprodid: qeReport.isvProdId,
      isvsvn: qeReport.isvSvn,
      report_data: hex(qeReport.reportData),
    }).toEqual(want.qe_report);
    const certificates = readQuoteChain(quote.chain).map(parseCertificate);
    expect(certificates.map(({ der }) => hex(crypto.sha256(der)))).toEqual(want.chain.map((c) => c.sha256));
    const [leaf] = certificates;
    const pck = leaf === undefined ? null : parsePckExtensions(leaf);
    expect(pck?.components).toEqual(want.pck.tcb_components);
    expect(pck?.pceSvn).toBe(want.pck.pcesvn);
    expect([pck?.ppid, pck?.cpuSvn, pck?.pceId, pck?.fmspc].map((b) => hex(b ?? new Uint8Array()))).toEqual([
      want.pck.ppid,
      want.pck.cpusvn,
      want.pck.pceid,
      want.pck.fmspc,
    ]);
  });

  it('has valid signatures up to the pinned root', () => {
    const verdict = verify(openTdx(name));
    for (const check of [
      'report.signature',
      'tdx.key-binding',
      'tdx.qe-report-signature',
      'chain.intermediate',
      'chain.root-signature',
      'chain.root',
      'chain.profile',
      'chain.validity',
    ]) {
      expect(outcome(verdict, check)?.outcome, check).toBe('passed');
    }
  });
});

describe.skipIf(!hasVectors)('verifyTdx on real quotes', () => {
  it('accepts v4-full-collateral, which is up to date', () => {
    const verdict = verify(openTdx('v4-full-collateral'));
    expect(verdict.failures).toEqual([]);
    expect(verdict).toMatchObject({ outcome: 'accepted', platform: 'tdx', missing: [] });
    expect(outcome(verdict, 'tdx.tcb-status')).toMatchObject({
      found: 'UpToDate',
      note: 'platform UpToDate, module UpToDate, quoting enclave UpToDate',
    });
    expect(outcome(verdict, 'tdx.minimum-tcb-date')?.note).toContain('2024-03-13');
    expect(outcome(verdict, 'chain.revocation')?.outcome).toBe('passed');
  });

  it('refuses v4-prod-spr: no level matches, and the signature is not followed by padding', () => {
    const verdict = verify(openTdx('v4-prod-spr'));
    expect(failed(verdict)).toEqual(['tdx.trailing-bytes', 'tdx.tcb-level', 'tdx.attributes']);
    expect(outcome(verdict, 'tdx.tcb-level')?.found).toContain('no level matches');
    for (const check of [
      'tdx.tcb-info-signature',
      'tdx.qe-identity-signature',
      'tdx.qe-identity-match',
      'tdx.qe-level',
      'chain.revocation-list',
      'chain.revocation',
    ]) {
      expect(outcome(verdict, check)?.outcome, check).toBe('passed');
    }
  });

  it('refuses v4-debug-td for its DEBUG attribute', () => {
    const verdict = verify(openTdx('v4-debug-td'));
    expect(failed(verdict)).toEqual(['policy.debug']);
    expect(verdict.missing).toContain('tdx.tcb-info');
  });

  it('finds v5-tdx15 genuine but incomplete without QE identity and revocation lists', () => {
    const verdict = verify(openTdx('v5-tdx15'));
    expect(failed(verdict)).toEqual([]);
    expect(verdict.outcome).toBe('rejected');
    expect(verdict.failures).toEqual(verdict.missing);
    expect(verdict.missing).toEqual(
      expect.arrayContaining(['tdx.qe-identity', 'chain.revocation-list', 'chain.revocation']),
    );
    expect(outcome(verdict, 'tdx.tcb-level')).toMatchObject({ outcome: 'passed', found: 'UpToDate' });
    expect(outcome(verdict, 'tdx.module')).toMatchObject({
      outcome: 'passed',
      found: 'TDX_01 version 11: UpToDate',
    });
  });

  it('reads the revocation lists as published', () => {
    for (const name of ['v4-full-collateral', 'v4-prod-spr'] as const) {
      const lists = openTdx(name).collateral.revocationLists.map(parseCrl);
      expect(lists.map(({ revoked }) => revoked.size)).toEqual([0, 44]);
      expect(lists.map(({ number }) => number)).toEqual(['01', '01']);
    }
  });

  it('reports missing collateral', () => {
    const verdict = verify({ ...openTdx('v4-full-collateral'), collateral: NO_COLLATERAL });
    expect(failed(verdict)).toEqual([]);
    expect(verdict.missing).toEqual(expect.arrayContaining(['tdx.tcb-info', 'tdx.qe-identity']));
  });

  it('replays the event log of a quote', () => {
    const folder = join(vectorsDir(), 'eventlog', 'ccel-cos113-with-quote');
    const load = (file: string) => new Uint8Array(readFileSync(join(folder, file)));
    const input = { policy, collateral: NO_COLLATERAL, at: Date.parse('2025-01-01T00:00:00Z'), crypto };
    const quote = load('quote.bin');
    const eventLog = load('ccel.bin');
    const verdict = verifyTdx({ quote, eventLog, ...input });
    expect(failed(verdict)).toEqual([]);
    expect(outcome(verdict, 'tdx.event-log')?.outcome).toBe('passed');
    expect(outcome(verdict, 'tdx.trailing-bytes')?.found).toBe('3065 zero bytes');
    const other = verifyTdx({ quote: openTdx('v4-debug-td').quote, eventLog, ...input });
    expect(outcome(other, 'tdx.event-log')?.outcome).toBe('failed');
  });
});
