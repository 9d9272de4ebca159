import { bytesToHex } from '@noble/hashes/utils.js';
import type { AttestationCrypto } from '../../crypto/crypto-port.ts';
import { CocosError } from '../../errors.ts';
import { claimsToJson } from '../appraisal/format-verdict.ts';
import { parseCborLayer } from '../dice/cbor-layer.ts';
import { splitDiceChain } from '../dice/chain-file.ts';
import { parseX509Layer } from '../dice/x509-layer.ts';
import { dataState } from '../eventlog/data.ts';
import { type EventLog, registerName } from '../eventlog/log.ts';
import { parseEventLog } from '../eventlog/parse.ts';
import { replay } from '../eventlog/replay.ts';
import { eventTypeName } from '../eventlog/types.ts';
import { parseSnpReport, SNP_REPORT_BYTES } from '../snp/abi.ts';
import { parseCertificateTable } from '../snp/certificate-table.ts';
import { platformInfoNames } from '../snp/platform-info.ts';
import { parseTdxQuote, readQuoteChain } from '../tdx/quote.ts';
import { parseAttest, TPM_GENERATED } from '../tpm/attest.ts';
import { parseHclReport } from '../tpm/hcl.ts';
import { type Certificate, parseCertificate } from '../x509/certificate.ts';
import { isoTime } from '../x509/time.ts';
import { decodeClaims } from './claims.ts';
import { decodeEvidence, type EvidenceBundle } from './evidence.ts';

/** Content of an evidence file, without an appraisal. */

export type EvidenceKind =
  | 'bundle'
  | 'snp-report'
  | 'tdx-quote'
  | 'tpm-quote'
  | 'event-log'
  | 'dice-chain'
  | 'hcl-report';

/** Plain JSON data. */
export type Inspected = { readonly kind: EvidenceKind } & Readonly<Record<string, unknown>>;

/** Members that are bytes as hex, bigints as hex numbers, all others as they are. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return bytesToHex(value);
  if (typeof value === 'bigint') return `0x${value.toString(16)}`;
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, plain(member)]));
}

function certificateJson(certificate: Certificate): Record<string, unknown> {
  const { subject, issuer, serial, notBefore, notAfter } = certificate;
  const name = ({ commonName, serialNumber }: Certificate['subject']) => commonName ?? serialNumber;
  return {
    subject: name(subject),
    issuer: name(issuer),
    serial,
    notBefore: isoTime(notBefore),
    notAfter: isoTime(notAfter),
  };
}

const certificatesJson = (ders: readonly Uint8Array[]) =>
  ders.map((der) => certificateJson(parseCertificate(der)));

function snpJson(bytes: Uint8Array): Record<string, unknown> {
  const { bytes: _, platformInfo, ...fields } = parseSnpReport(bytes.subarray(0, SNP_REPORT_BYTES));
  const info = {
    platformInfo: `0x${platformInfo.toString(16)}`,
    platformProperties: platformInfoNames(platformInfo),
  };
  return {
    ...Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, plain(value)])),
    ...info,
  };
}

function inspectSnp(bytes: Uint8Array): Inspected {
  const table = parseCertificateTable(bytes.subarray(SNP_REPORT_BYTES));
  return { kind: 'snp-report', ...snpJson(bytes), certificates: certificatesJson(table) };
}

function tdxJson(bytes: Uint8Array): Record<string, unknown> {
  const { signed: _, chain, trailing, qeReport, body, ...rest } = parseTdxQuote(bytes);
  const { bytes: __, ...qe } = qeReport;
  const fields = Object.entries({ ...rest, body, qeReport: qe }).map(([name, value]) => [name, plain(value)]);
  return {
    ...Object.fromEntries(fields),
    trailingBytes: trailing.length,
    certificates: certificatesJson(readQuoteChain(chain)),
  };
}

function tpmJson(bytes: Uint8Array): Record<string, unknown> {
  const { magic, type, ...rest } = parseAttest(bytes);
  const fields = Object.entries(rest).map(([name, value]) => [name, plain(value)]);
  return { magic: `0x${magic.toString(16)}`, type: `0x${type.toString(16)}`, ...Object.fromEntries(fields) };
}

/** Data of an event as text where it is printable. */
function dataText(data: Uint8Array): string | undefined {
  const text = String.fromCharCode(...data.subarray(0, 200)).replace(/\0+$/, '');
  return text.length > 0 && /^[\x20-\x7e\n\r\t]+$/.test(text) ? text : undefined;
}

/** A log with the authenticity of its data, and the values that it replays to in each supported bank. */
export function logJson(log: EventLog, crypto: AttestationCrypto): Record<string, unknown> {
  const [first] = log.banks;
  const events = log.events.map((event) => {
    const text = dataText(event.data);
    return {
      number: event.number,
      register: registerName(log, event.register),
      type: eventTypeName(event.type),
      digests: Object.fromEntries([...event.digests].map(([bank, value]) => [bank, bytesToHex(value)])),
      data: first === undefined ? 'hint' : dataState(event, first, crypto),
      ...(text === undefined ? { size: event.data.length } : { text }),
    };
  });
  const values = log.banks.map((bank) => {
    const rows = [...replay(log, bank, crypto)].toSorted(([a], [b]) => a - b);
    return [
      bank,
      Object.fromEntries(rows.map(([index, value]) => [registerName(log, index), bytesToHex(value)])),
    ];
  });
  return {
    of: log.kind === 'pcr' ? 'TPM' : 'TDX guest',
    banks: log.banks,
    replayed: Object.fromEntries(values),
    events,
  };
}

function diceJson(bytes: Uint8Array, crypto: AttestationCrypto): Record<string, unknown> {
  const { format, chain, rootKey } = splitDiceChain(bytes);
  if (chain.length === 0) throw new CocosError('EVIDENCE_INVALID', 'DICE chain: no certificate');
  const layers = chain.map((item) => {
    const layer = format === 'cbor' ? parseCborLayer(item, crypto) : parseX509Layer(item, crypto);
    const { encoded: _, signed: __, ...rest } = layer;
    return plain(rest);
  });
  return { format, ...(rootKey === undefined ? {} : { rootKey: bytesToHex(rootKey) }), layers };
}

function bundleJson(bundle: EvidenceBundle, crypto: AttestationCrypto): Record<string, unknown> {
  const { report, nonce, launchLog, vtpm, dice } = bundle;
  return {
    version: bundle.version,
    ...(nonce === undefined ? {} : { nonce: bytesToHex(nonce) }),
    claims: claimsToJson(decodeClaims(bundle.claims)),
    report:
      report.kind === 'snp'
        ? {
            kind: report.kind,
            ...snpJson(report.report),
            certificates: certificatesJson(report.certificates),
          }
        : { kind: report.kind, ...tdxJson(report.quote) },
    ...(launchLog === undefined ? {} : { launchLog }),
    ...(vtpm === undefined
      ? {}
      : {
          vtpm: {
            quote: tpmJson(vtpm.attest),
            bank: vtpm.bank,
            pcrs: plain(vtpm.pcrs),
            ...(vtpm.eventLog === undefined
              ? {}
              : { eventLog: logJson(parseEventLog(vtpm.eventLog, 'pcr'), crypto) }),
          },
        }),
    ...(dice === undefined ? {} : { dice: { format: dice.format, layers: dice.chain.length } }),
  };
}

const startsWith = (bytes: Uint8Array, text: string): boolean =>
  String.fromCharCode(...bytes.subarray(0, text.length)) === text;

function looksLikeQuote(bytes: Uint8Array): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return bytes.length > 48 && [4, 5].includes(view.getUint16(0, true)) && view.getUint16(2, true) <= 3;
}

function looksLikeBundle(bytes: Uint8Array): boolean {
  // A CBOR map of at most 23 members.
  return (bytes[0] ?? 0) >= 0xa1 && (bytes[0] ?? 0) <= 0xb7 && !startsWith(bytes, '\u00ffTCG');
}

/** All kinds, ordered by how reliably their format identifies them. */
function attempts(bytes: Uint8Array, crypto: AttestationCrypto): (() => Inspected)[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const list: (() => Inspected)[] = [];
  if (bytes.length >= 4 && view.getUint32(0) === TPM_GENERATED) {
    list.push(() => ({ kind: 'tpm-quote', ...tpmJson(bytes) }));
  }
  if (startsWith(bytes, 'HCLA'))
    list.push(() => ({ kind: 'hcl-report', ...snpJson(parseHclReport(bytes).report) }));
  if (looksLikeQuote(bytes)) list.push(() => ({ kind: 'tdx-quote', ...tdxJson(bytes) }));
  if (bytes.length >= SNP_REPORT_BYTES) list.push(() => inspectSnp(bytes));
  if (looksLikeBundle(bytes))
    list.push(() => ({ kind: 'bundle', ...bundleJson(decodeEvidence(bytes), crypto) }));
  list.push(() => ({ kind: 'dice-chain', ...diceJson(bytes, crypto) }));
  list.push(() => ({ kind: 'event-log', ...logJson(parseEventLog(bytes), crypto) }));
  return list;
}

/**
 * Determines the kind and the content of an evidence file. Nothing is verified.
 *
 * @throws CocosError EVIDENCE_INVALID, with the reason of the likeliest kind, if no parser accepts it
 */
export function inspectEvidence(bytes: Uint8Array, crypto: AttestationCrypto): Inspected {
  let reason: CocosError | undefined;
  for (const attempt of attempts(bytes, crypto)) {
    try {
      return attempt();
    } catch (thrown) {
      reason ??= CocosError.from(thrown, 'EVIDENCE_INVALID');
    }
  }
  throw reason ?? new CocosError('EVIDENCE_INVALID', 'unknown kind of evidence');
}
