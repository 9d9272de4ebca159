import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { EAR_PROFILE, signEar, verifyEar } from '../../src/attestation/appraisal/ear.ts';
import { classifyCollateral } from '../../src/attestation/collateral/collateral-files.ts';
import { decodeCorim } from '../../src/attestation/corim/comid.ts';
import { referenceFromCorim, referenceToCorim } from '../../src/attestation/corim/reference-corim.ts';
import { parseCborLayer } from '../../src/attestation/dice/cbor-layer.ts';
import { splitDiceChain } from '../../src/attestation/dice/chain-file.ts';
import { parseX509Layer } from '../../src/attestation/dice/x509-layer.ts';
import { parseStrictJson } from '../../src/attestation/encoding/strict-json.ts';
import { checkEventData } from '../../src/attestation/eventlog/data.ts';
import { parseEventLog } from '../../src/attestation/eventlog/parse.ts';
import { replay } from '../../src/attestation/eventlog/replay.ts';
import { decodeClaims, encodeClaims } from '../../src/attestation/evidence/claims.ts';
import { decodeEvidence, encodeEvidence } from '../../src/attestation/evidence/evidence.ts';
import { inspectEvidence } from '../../src/attestation/evidence/inspect.ts';
import { readOvmfMetadata } from '../../src/attestation/measure/ovmf.ts';
import { parsePolicy } from '../../src/attestation/policy/policy.ts';
import { parseReferenceValues } from '../../src/attestation/policy/reference.ts';
import { openPolicy, signPolicy } from '../../src/attestation/policy/signed-policy.ts';
import { parseSnpReport } from '../../src/attestation/snp/abi.ts';
import { parseCertificateTable } from '../../src/attestation/snp/certificate-table.ts';
import { parseEndorsement } from '../../src/attestation/snp/endorsement.ts';
import { parsePckExtensions } from '../../src/attestation/tdx/pck.ts';
import { parseTdxQuote, readQuoteChain } from '../../src/attestation/tdx/quote.ts';
import { splitSignedJson } from '../../src/attestation/tdx/signed-json.ts';
import { parseQeIdentity, parseTcbInfo } from '../../src/attestation/tdx/tcb-info.ts';
import { parseAttest } from '../../src/attestation/tpm/attest.ts';
import { parseHclReport } from '../../src/attestation/tpm/hcl.ts';
import { parsePcrFile } from '../../src/attestation/tpm/pcr-file.ts';
import { parsePcrValues } from '../../src/attestation/tpm/pcr-list.ts';
import { attestationKeyFromSpki, parsePublicArea } from '../../src/attestation/tpm/public-area.ts';
import { parseTpmSignature } from '../../src/attestation/tpm/signature.ts';
import { parseCertificate } from '../../src/attestation/x509/certificate.ts';
import { parseCrl } from '../../src/attestation/x509/crl.ts';
import { certificateDers } from '../../src/attestation/x509/pem.ts';
import { attestationCrypto as crypto } from '../../src/crypto/attestation-crypto.ts';
import { CocosError, type ErrorCode } from '../../src/errors.ts';
import { vectorsDir } from '../vectors.ts';
import { claims, referenceJson, vmLog } from './emulated-host.ts';
import { cborLayer, newKey, x509Layer } from './fake-dice.ts';
import { ecdsaSignature, eventLog, publicArea } from './fake-tpm.ts';
import { mutate, random } from './mutate.ts';

/** Every parser that meets bytes of others, with good input to start from. */

const SIGNER = `ed25519:${'A'.repeat(43)}`;
const TERMS = {
  name: 'policy',
  policyVersion: 1,
  issuedAt: '2026-01-01T00:00:00Z',
  expires: '2027-01-01T00:00:00Z',
};

export interface Parser {
  readonly name: string;
  readonly seeds: readonly Uint8Array[];
  readonly parse: (bytes: Uint8Array) => unknown;
}

/** Errors with which a parser may refuse. */
const REFUSALS: readonly ErrorCode[] = [
  'EVIDENCE_INVALID',
  'LIMIT_EXCEEDED',
  'REFERENCE_INVALID',
  'MEASURE_UNSUPPORTED',
  'ATTEST_REJECTED',
  'INPUT_INVALID',
  'POLICY_INVALID',
];

const read = (...parts: string[]): Uint8Array => new Uint8Array(readFileSync(join(vectorsDir(), ...parts)));
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const utf8 = (value: string): Uint8Array => new TextEncoder().encode(value);

function bundle(): Uint8Array {
  const bound = encodeClaims({ ...claims, kemKeys: [...claims.kemKeys] });
  return encodeEvidence({
    version: 1,
    claims: bound,
    nonce: new Uint8Array(32),
    report: {
      kind: 'snp',
      report: read('snp', 'genoa-v3', 'report.bin'),
      certificates: [read('snp', 'genoa-v3', 'vcek.der')],
    },
    launchLog: vmLog,
    vtpm: {
      attest: read('tpm-quote', 'azure-snp-vtpm', 'attest.bin'),
      signature: read('tpm-quote', 'azure-snp-vtpm', 'signature.bin'),
      bank: 'sha256',
      pcrs: { 0: new Uint8Array(32) },
    },
  });
}

export function parsers(): Parser[] {
  const [a, b] = [newKey(), newKey('P-256')];
  const log = eventLog(
    [
      { register: 1, type: 4, data: new Uint8Array(4) },
      { register: 2, type: 0x80000002, data: new Uint8Array(40) },
      { register: 0, type: 3, data: utf8('StartupLocality\0\u0003') },
    ],
    { banks: ['sha256', 'sha384'] },
  );
  const layer = { issuerKey: a, subjectKey: b };
  const collateral = read('tdx', 'v5-tdx15', 'tcb_info.json');
  const key = attestationKeyFromSpki(parseCertificate(read('snp', 'genoa-v3', 'vcek.der')).spki);
  const ovmf = read('snp-launch-digest', 'ovmf_AmdSev_suffix.bin');
  const token = { eat_profile: EAR_PROFILE, iat: 1, submods: { snp: { 'ear.status': 'affirming' } } };
  const policyJson = { version: 1, platforms: ['snp'], snp: { minimumTcb: { milan: { snp: 8 } }, vmpl: 0 } };
  const pcrList = new Uint8Array(668);
  pcrList.set([1, 0, 0, 0, 11, 0, 3, 3]);
  pcrList.set([1, 0, 0, 0, 2, 0, 0, 0, 32], 132);
  pcrList[206] = 32;
  const [pck = new Uint8Array()] = readQuoteChain(parseTdxQuote(read('tdx', 'v5-tdx15', 'quote.bin')).chain);
  const corim = referenceToCorim(parseReferenceValues(referenceJson));
  return [
    {
      name: 'SNP report',
      seeds: ['genoa-v3', 'turin-v5', 'milan-v2'].map((c) => read('snp', c, 'report.bin')),
      parse: parseSnpReport,
    },
    {
      name: 'certificate table',
      seeds: [read('snp', 'cert-table-unverifiable', 'extended-report.bin').subarray(1184)],
      parse: parseCertificateTable,
    },
    {
      name: 'TDX quote',
      seeds: ['v4-debug-td', 'v5-tdx15'].map((c) => read('tdx', c, 'quote.bin')),
      parse: (bytes) => readQuoteChain(parseTdxQuote(bytes).chain),
    },
    {
      name: 'certificate',
      seeds: [
        read('snp', 'turin-v5', 'vcek.der'),
        read('tdx', 'intel-sgx-root-ca.der'),
        read('amd-roots', 'milan_ask.der'),
      ],
      parse: parseCertificate,
    },
    {
      name: 'revocation list',
      seeds: ['root_ca.crl', 'pck_platform.crl'].map((f) => read('tdx', 'v4-prod-spr', f)),
      parse: parseCrl,
    },
    { name: 'PEM', seeds: [read('tdx', 'v5-tdx15', 'tcb_info_issuer_chain.pem')], parse: certificateDers },
    {
      name: 'TCB information',
      seeds: [collateral],
      parse: (bytes) => parseTcbInfo(splitSignedJson(text(bytes), 'tcbInfo').body),
    },
    {
      name: 'QE identity',
      seeds: [read('tdx', 'v4-prod-spr', 'qe_identity.json')],
      parse: (bytes) => parseQeIdentity(splitSignedJson(text(bytes), 'enclaveIdentity').body),
    },
    {
      name: 'collateral file',
      seeds: [collateral, read('tdx', 'v4-prod-spr', 'root_ca.crl')],
      parse: classifyCollateral,
    },
    { name: 'TPM statement', seeds: [read('tpm-quote', 'azure-snp-vtpm', 'attest.bin')], parse: parseAttest },
    { name: 'TPM public area', seeds: [publicArea(b), publicArea(newKey('P-384'))], parse: parsePublicArea },
    {
      name: 'TPM signature',
      seeds: [ecdsaSignature(log, b), ecdsaSignature(log, newKey('P-384'), 'sha384'), new Uint8Array(96)],
      parse: (bytes) => parseTpmSignature(bytes, key),
    },
    {
      name: 'paravisor report',
      seeds: [read('tpm-quote', 'azure-snp-vtpm', 'hcl-report.bin')],
      parse: parseHclReport,
    },
    {
      name: 'PCR values',
      seeds: [utf8('sha256:\n  0 : 0x00\n'), utf8('{"sha256":{"0":"00"}}')],
      parse: (bytes) => parsePcrFile(text(bytes)),
    },
    {
      name: 'event log',
      seeds: [log, read('eventlog', 'tpm-legacy-sha1-debian-10', 'eventlog.bin').subarray(0, 1200)],
      parse: (bytes) => {
        const parsed = parseEventLog(bytes);
        const [bank] = parsed.banks;
        if (bank === undefined) return;
        checkEventData(parsed, bank, [], crypto);
        replay(parsed, bank, crypto);
      },
    },
    {
      name: 'DICE in CBOR',
      seeds: [cborLayer(layer), read('open-dice', 'ZeroInput', 'cborp384cert.cbor')],
      parse: (bytes) => parseCborLayer(bytes, crypto),
    },
    {
      name: 'DICE in X.509',
      seeds: [x509Layer(layer), read('open-dice', 'ZeroInput', 'x509p256cert.der')],
      parse: (bytes) => parseX509Layer(bytes, crypto),
    },
    { name: 'DICE chain', seeds: [cborLayer(layer), x509Layer(layer)], parse: splitDiceChain },
    {
      name: 'claims',
      seeds: [encodeClaims({ ...claims, kemKeys: [...claims.kemKeys] })],
      parse: decodeClaims,
    },
    { name: 'bundle', seeds: [bundle()], parse: decodeEvidence },
    { name: 'CoRIM', seeds: [corim], parse: (bytes) => [decodeCorim(bytes), referenceFromCorim(bytes, 0)] },
    {
      name: 'PCR list',
      seeds: [pcrList],
      parse: parsePcrValues,
    },
    {
      name: 'AMD endorsement',
      seeds: ['genoa-v3', 'turin-v5'].map((c) => read('snp', c, 'vcek.der')),
      parse: (bytes) => parseEndorsement(parseCertificate(bytes)),
    },
    {
      name: 'Intel PCK',
      seeds: [pck],
      parse: (bytes) => parsePckExtensions(parseCertificate(bytes)),
    },
    {
      name: 'policy',
      seeds: [utf8(JSON.stringify(policyJson))],
      parse: (bytes) => parsePolicy(parseStrictJson(text(bytes))),
    },
    {
      name: 'reference values',
      seeds: [utf8(JSON.stringify(referenceJson))],
      parse: (bytes) => parseReferenceValues(parseStrictJson(text(bytes))),
    },
    {
      name: 'signed policy',
      seeds: [utf8(JSON.stringify(signPolicy(utf8('{}'), TERMS, SIGNER, () => new Uint8Array(64))))],
      parse: (bytes) =>
        openPolicy(parseStrictJson(text(bytes)), SIGNER, 0, { ...crypto, verifyEd25519: () => true }),
    },
    { name: 'firmware metadata', seeds: [ovmf], parse: readOvmfMetadata },
    {
      name: 'EAR',
      seeds: [utf8(signEar(token, 'key', () => new Uint8Array(64)))],
      // Every signature is accepted, so that the parsers after the verification are reached.
      parse: (bytes) => verifyEar(text(bytes), new Uint8Array(32), { ...crypto, verifyEd25519: () => true }),
    },
    {
      name: 'inspection',
      seeds: [read('snp', 'genoa-v3', 'report.bin'), read('tpm-quote', 'azure-snp-vtpm', 'attest.bin'), log],
      parse: (bytes) => inspectEvidence(bytes, crypto),
    },
  ];
}

/** Of processor time: other work of the machine is not the parser's. */
export const SLOW_MS = 100;

export interface FuzzResult {
  readonly runs: number;
  readonly refused: number;
  /** Inputs, in hex, that ended otherwise than in a value or a refusal. */
  readonly crashes: readonly string[];
  readonly slowest: number;
}

/** Processor time of one call in milliseconds, or, when it was long, the shortest of a few: the engine also compiles and collects. */
function timed(call: () => void): number {
  let best = Number.POSITIVE_INFINITY;
  for (let attempt = 0; attempt < 8; attempt += 1) {
    const start = process.cpuUsage();
    call();
    const { user, system } = process.cpuUsage(start);
    best = Math.min(best, (user + system) / 1000);
    if (best < SLOW_MS) return best;
  }
  return best;
}

/** Runs a parser on mutated input. */
export function fuzz({ seeds, parse }: Parser, runs: number, seed: number): FuzzResult {
  const next = random(seed);
  const crashes: string[] = [];
  let refused = 0;
  let slowest = 0;
  for (let run = 0; run < runs; run += 1) {
    const base = seeds[run % seeds.length] ?? new Uint8Array();
    const input = mutate(base, next);
    let crash: unknown = null;
    let refusal = false;
    const elapsed = timed(() => {
      try {
        parse(input);
      } catch (thrown) {
        refusal = thrown instanceof CocosError && REFUSALS.includes(thrown.code);
        if (!refusal) crash = thrown;
      }
    });
    if (refusal) refused += 1;
    if (crash !== null)
      crashes.push(`${String(crash)}: ${Buffer.from(input).toString('hex').slice(0, 4000)}`);
    slowest = Math.max(slowest, elapsed);
  }
  return { runs, refused, crashes, slowest };
}
