import { createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { verifySnp, verifyTdx, verifyTpm } from '../../src/attestation/appraisal/standalone.ts';
import { NO_COLLATERAL } from '../../src/attestation/collateral/collateral.ts';
import { parsePolicy } from '../../src/attestation/policy/policy.ts';
import { parseTdxQuote, readQuoteChain } from '../../src/attestation/tdx/quote.ts';
import { parsePcrFile } from '../../src/attestation/tpm/pcr-file.ts';
import { parseCertificate } from '../../src/attestation/x509/certificate.ts';
import { CertificateCache } from '../../src/attestation/x509/certificate-cache.ts';
import { attestationCrypto } from '../../src/crypto/attestation-crypto.ts';
import type { AttestationCrypto } from '../../src/crypto/crypto-port.ts';
import { vectorsDir } from '../vectors.ts';
import { WAIVERS } from './fake-amd.ts';
import { openTdx } from './tdx-vectors.ts';
import { toPem } from './x509-issuer.ts';

/**
 * Real evidence with every part in which no bit may change: signed bytes, signatures, and the signed part of
 * each certificate.
 */

export interface Target {
  readonly name: string;
  /** The bytes whose bits are changed. */
  readonly bytes: Uint8Array;
  /** Whether the evidence is accepted with these bytes in the place of the part's own. */
  readonly accepts: (changed: Uint8Array) => boolean;
}

const read = (...parts: string[]): Uint8Array => new Uint8Array(readFileSync(join(vectorsDir(), ...parts)));

/** The same bytes with a part replaced. */
function replaced(whole: Uint8Array, at: number, part: Uint8Array): Uint8Array {
  const out = Uint8Array.from(whole);
  out.set(part, at);
  return out;
}

/** Position of the signed part of a certificate in its DER. */
function tbsOf(der: Uint8Array): { readonly at: number; readonly tbs: Uint8Array } {
  const { tbs } = parseCertificate(der);
  return { at: tbs.byteOffset - der.byteOffset, tbs };
}

function certificateTargets(
  what: string,
  ders: readonly Uint8Array[],
  accepts: (ders: readonly Uint8Array[]) => boolean,
): Target[] {
  return ders.map((der, index) => {
    const { at, tbs } = tbsOf(der);
    return {
      name: `${what}, signed part of certificate ${index + 1}`,
      bytes: tbs,
      accepts: (changed) => accepts(ders.map((each, i) => (i === index ? replaced(der, at, changed) : each))),
    };
  });
}

export function snpTargets(crypto: AttestationCrypto = attestationCrypto): Target[] {
  const report = read('snp', 'genoa-v3', 'report.bin');
  const ders = [
    read('snp', 'genoa-v3', 'vcek.der'),
    ...['ask', 'ark'].map((name) => read('amd-roots', `genoa_${name}.der`)),
  ];
  const policy = parsePolicy({ version: 1, platforms: ['snp'], snp: WAIVERS });
  const cache = new CertificateCache();
  const at = Date.parse('2026-02-01T00:00:00Z');
  const accepts = (bytes: Uint8Array, certificates: readonly Uint8Array[]) =>
    verifySnp({ report: bytes, certificates, policy, collateral: NO_COLLATERAL, at, crypto, cache })
      .outcome === 'accepted';
  const part = (name: string, from: number, to: number): Target => ({
    name: `SNP report, ${name}`,
    bytes: report.subarray(from, to),
    accepts: (changed) => accepts(replaced(report, from, changed), ders),
  });
  return [
    part('signed part', 0, 0x2a0),
    part('signature', 0x2a0, 0x330),
    ...certificateTargets('SNP', ders, (certificates) => accepts(report, certificates)),
  ];
}

export function tdxTargets(crypto: AttestationCrypto = attestationCrypto): Target[] {
  const { quote, collateral, at } = openTdx('v4-full-collateral');
  const policy = parsePolicy({ version: 1, platforms: ['tdx'] });
  const cache = new CertificateCache();
  const accepts = (bytes: Uint8Array) =>
    verifyTdx({ quote: bytes, policy, collateral, at, crypto, cache }).outcome === 'accepted';
  const part = (name: string, from: number, size: number): Target => ({
    name: `TDX quote, ${name}`,
    bytes: quote.subarray(from, from + size),
    accepts: (changed) => accepts(replaced(quote, from, changed)),
  });
  const { chain, signed, trailing } = parseTdxQuote(quote);
  const certificates = readQuoteChain(chain);
  // The quote contains certificates as PEM: changed ones are re-encoded, and the preceding sizes adjusted.
  const chainAt = 632 + 4 + 128 + 6 + 384 + 64 + 2 + 32 + 6;
  const withChain = (ders: readonly Uint8Array[]): Uint8Array => {
    const pem = Buffer.from(`${ders.map((der) => toPem(der)).join('')}\0`);
    const out = Buffer.concat([quote.subarray(0, chainAt), pem, trailing]);
    out.writeUInt32LE(pem.length, chainAt - 4);
    out.writeUInt32LE(384 + 64 + 2 + 32 + 6 + pem.length, 632 + 4 + 128 + 2);
    out.writeUInt32LE(128 + 6 + 384 + 64 + 2 + 32 + 6 + pem.length, 632);
    return new Uint8Array(out);
  };
  return [
    part('header and body', 0, signed.length),
    part('signature', 636, 64),
    part('attestation key', 700, 64),
    part('QE report', 770, 384),
    part('signature over the QE report', 1154, 64),
    part('QE authentication data', 1220, 32),
    ...certificateTargets('TDX', certificates, (ders) => accepts(withChain(ders))),
  ];
}

export function tpmTargets(crypto: AttestationCrypto = attestationCrypto): Target[] {
  const folder = ['tpm-quote', 'azure-snp-vtpm'] as const;
  const attest = read(...folder, 'attest.bin');
  const signature = read(...folder, 'signature.bin');
  const pem = Buffer.from(read(...folder, 'ak.pem'));
  const key = new Uint8Array(createPublicKey(pem).export({ format: 'der', type: 'spki' }));
  const pcrs = parsePcrFile(Buffer.from(read(...folder, 'pcrs-sha256.json')).toString());
  const policy = parsePolicy({ version: 1, platforms: ['snp'] });
  const qualifyingData = new TextEncoder().encode('challenge');
  const accepts = (change: { attest?: Uint8Array; signature?: Uint8Array; key?: Uint8Array }) =>
    verifyTpm({ attest, signature, key, pcrs, qualifyingData, policy, at: 0, crypto, ...change }).outcome ===
    'accepted';
  return [
    { name: 'TPM quote', bytes: attest, accepts: (changed) => accepts({ attest: changed }) },
    { name: 'TPM quote, signature', bytes: signature, accepts: (changed) => accepts({ signature: changed }) },
    { name: 'TPM quote, attestation key', bytes: key, accepts: (changed) => accepts({ key: changed }) },
  ];
}

/**
 * Changes bits in turn.
 *
 * @param step every how many bits; 1 for all of them.
 * @returns the bits with which the evidence was accepted all the same.
 */
export function sweep(
  target: Target,
  flip: (bytes: Uint8Array, bit: number) => Uint8Array,
  step: number,
): number[] {
  const accepted: number[] = [];
  for (let bit = 0; bit < target.bytes.length * 8; bit += step) {
    if (target.accepts(flip(target.bytes, bit))) accepted.push(bit);
  }
  return accepted;
}
