import { constants, createPublicKey, type KeyObject, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { verifySnp, verifyTdx, verifyTpm } from '../src/attestation/appraisal/standalone.ts';
import type { Verdict } from '../src/attestation/appraisal/verdict.ts';
import { type Collateral, NO_COLLATERAL } from '../src/attestation/collateral/collateral.ts';
import { classifyCollateral, mergeCollateral } from '../src/attestation/collateral/collateral-files.ts';
import { parsePolicy } from '../src/attestation/policy/policy.ts';
import { parsePcrFile } from '../src/attestation/tpm/pcr-file.ts';
import { CertificateCache } from '../src/attestation/x509/certificate-cache.ts';
import { createAttestationCrypto } from '../src/crypto/attestation-crypto.ts';
import type { AttestationCrypto, RsaPublicKey } from '../src/crypto/crypto-port.ts';
import { type Figure, median } from './figure.ts';

/**
 * Appraisals in a second of one real SNP report, TDX quote and TPM quote, beside the signature operations that each
 * of them needs, alone: the very calls with the very arguments, recorded once, each with its key as the evidence has
 * it, in bytes. Cold: nothing is known beforehand. Warm: certificates were seen before, as for the second enclave on
 * one machine. What the ratio is to calls whose keys are loaded already stands beside each figure; no bar is on it,
 * since evidence brings keys as bytes.
 */

const VECTORS = fileURLToPath(new URL('../../shared/vectors', import.meta.url));
const ROUNDS = 15;
const ROUND_MS = 120;
/** An appraisal may cost at most 1.2 times its signatures. */
const BAR = 1 / 1.2;

const read = (...parts: string[]): Uint8Array => new Uint8Array(readFileSync(path.join(VECTORS, ...parts)));

type Appraisal = (crypto: AttestationCrypto, cache: CertificateCache | undefined) => Verdict;

function snp(): Appraisal {
  const report = read('snp', 'genoa-v3', 'report.bin');
  const certificates = [
    read('snp', 'genoa-v3', 'vcek.der'),
    read('amd-roots', 'genoa_ask.der'),
    read('amd-roots', 'genoa_ark.der'),
  ];
  // The report is older than the shipped minimum, and its revocation list is not at hand.
  const snp = { requireRevocationList: false, minimumTcb: { genoa: {} } };
  const policy = parsePolicy({ version: 1, platforms: ['snp'], snp });
  const at = Date.parse('2026-02-01T00:00:00Z');
  return (crypto, cache) =>
    verifySnp({ report, certificates, policy, collateral: NO_COLLATERAL, at, crypto, cache });
}

function tdx(): Appraisal {
  const quote = read('tdx', 'v4-full-collateral', 'quote.bin');
  const whole = classifyCollateral(read('tdx', 'v4-full-collateral', 'collateral.json'));
  const collateral: Collateral = mergeCollateral(whole === null ? [] : [whole]);
  const policy = parsePolicy({ version: 1, platforms: ['tdx'] });
  const at = Date.parse('2025-07-01T00:00:00Z');
  return (crypto, cache) => verifyTdx({ quote, policy, collateral, at, crypto, cache });
}

function tpm(): Appraisal {
  const file = (name: string): Uint8Array => read('tpm-quote', 'azure-snp-vtpm', name);
  const attest = file('attest.bin');
  const signature = file('signature.bin');
  const spki = createPublicKey(Buffer.from(file('ak.pem'))).export({ format: 'der', type: 'spki' });
  const key = new Uint8Array(spki);
  const pcrs = parsePcrFile(Buffer.from(file('pcrs-sha256.json')).toString());
  const policy = parsePolicy({ version: 1, platforms: ['snp'] });
  const qualifyingData = new TextEncoder().encode('challenge');
  return (crypto, cache) =>
    verifyTpm({ attest, signature, key, pcrs, qualifyingData, policy, at: 0, crypto, cache });
}

const SPKI_PREFIX = {
  'P-256': '3059301306072a8648ce3d020106082a8648ce3d030107034200',
  'P-384': '3076301006072a8648ce3d020106052b81040022036200',
} as const;

interface Calls {
  /** With the key in DER. */
  readonly plain: (() => boolean)[];
  /** With the key loaded beforehand. */
  readonly loaded: (() => boolean)[];
}

/** A port that writes each signature operation down as plain calls of node:crypto. */
function recorder({ plain, loaded }: Calls): AttestationCrypto {
  const port = createAttestationCrypto(0);
  const der = (key: Uint8Array) => ({ key: Buffer.from(key), format: 'der', type: 'spki' }) as const;
  type Key = ReturnType<typeof der>;
  const add = (key: Key, call: (key: Key | { readonly key: KeyObject }) => boolean): void => {
    const object = { key: createPublicKey(key) };
    plain.push(() => call(key));
    loaded.push(() => call(object));
  };
  const rsa = ({ modulus, exponent }: RsaPublicKey) => {
    const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64url');
    const key = createPublicKey({ key: { kty: 'RSA', n: text(modulus), e: text(exponent) }, format: 'jwk' });
    return der(key.export({ format: 'der', type: 'spki' }));
  };
  return {
    ...port,
    verifyEcdsa(curve, hash, point, message, signature) {
      const key = der(Buffer.concat([Buffer.from(SPKI_PREFIX[curve], 'hex'), point]));
      add(key, (given) => verify(hash, message, { ...given, dsaEncoding: 'ieee-p1363' }, signature));
      return port.verifyEcdsa(curve, hash, point, message, signature);
    },
    verifyRsaPss(hash, publicKey, message, signature, salt) {
      const padding = constants.RSA_PKCS1_PSS_PADDING;
      const saltLength = salt ?? constants.RSA_PSS_SALTLEN_AUTO;
      add(rsa(publicKey), (given) => verify(hash, message, { ...given, padding, saltLength }, signature));
      return port.verifyRsaPss(hash, publicKey, message, signature, salt);
    },
    verifyRsaPkcs1(hash, publicKey, message, signature) {
      add(rsa(publicKey), (given) => verify(hash, message, given, signature));
      return port.verifyRsaPkcs1(hash, publicKey, message, signature);
    },
  };
}

/** CPU time of one call in milliseconds: other work of the machine does not count. */
function cost(call: () => void): number {
  const start = process.cpuUsage();
  const until = performance.now() + ROUND_MS;
  let runs = 0;
  do {
    call();
    runs += 1;
  } while (performance.now() < until);
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1000 / runs;
}

function measure(name: string, appraisal: Appraisal, warm: boolean): Figure {
  const known = warm ? { cache: new CertificateCache(), crypto: createAttestationCrypto() } : null;
  const accept = (port?: AttestationCrypto): void => {
    const crypto = port ?? known?.crypto ?? createAttestationCrypto();
    const { outcome, failures } = appraisal(crypto, known?.cache);
    if (outcome !== 'accepted') throw new Error(`${name} is refused for ${failures.join(', ')}`);
  };
  // The first appraisal fills the cache; the second shows what is left to do.
  accept();
  const calls: Calls = { plain: [], loaded: [] };
  accept(recorder(calls));
  const signatures = (list: readonly (() => boolean)[]) => (): void => {
    for (const call of list) if (!call()) throw new Error(`${name}: a signature is wrong`);
  };
  const rounds = Array.from({ length: ROUNDS }, () => ({
    whole: cost(() => accept()),
    raw: cost(signatures(calls.plain)),
    loaded: cost(signatures(calls.loaded)),
  }));
  const value = 1000 / median(rounds.map(({ whole }) => whole));
  const baseline = 1000 / median(rounds.map(({ raw }) => raw));
  const ratio = median(rounds.map(({ whole, raw }) => raw / whole));
  const strict = median(rounds.map(({ whole, loaded }) => loaded / whole));
  const count = `${calls.plain.length} signatures (${strict.toFixed(2)} with their keys loaded)`;
  return {
    figure: `${name}, ${warm ? 'warm' : 'cold'}, ${count}`,
    value,
    unit: 'appraisals/s',
    baseline,
    ratio,
    bar: `>= ${BAR.toFixed(3)}`,
    ok: ratio >= BAR,
  };
}

export function run(): Promise<readonly Figure[]> {
  const figures = [
    ['SNP', snp()],
    ['TDX', tdx()],
    ['TPM', tpm()],
  ] as const;
  return Promise.resolve(
    figures.flatMap(([name, appraisal]) => [measure(name, appraisal, false), measure(name, appraisal, true)]),
  );
}
