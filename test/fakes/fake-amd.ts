import { createHash, generateKeyPair, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { promisify } from 'node:util';
import { ia5String, integer } from '../../src/attestation/x509/der-writer.ts';
import { AUTHORITY, type Extension, type Issuer, issue, revocationList } from './x509-issuer.ts';

/**
 * A hierarchy like AMD's with its own root: every signature is valid, and each property of a report and of its
 * certificates can be changed alone.
 */

const DAY = 86_400_000;
export const AT = Date.parse('2026-06-01T00:00:00Z');
const AMD = '1.3.6.1.4.1.3704.1';
const span = { notBefore: AT - 100 * DAY, notAfter: AT + 1000 * DAY };

export type Line = 'Milan' | 'Genoa' | 'Turin';

interface Authority extends Issuer {
  readonly certificate: Uint8Array;
}

export interface Amd {
  readonly line: Line;
  readonly ark: Authority;
  readonly ask: Authority;
  readonly asvk: Authority;
  /** Policy that pins this root. */
  readonly trustedRoots: readonly { readonly product: string; readonly sha256: string }[];
}

const generate = promisify(generateKeyPair);
let keys: Promise<readonly [KeyObject, KeyObject, KeyObject]> | undefined;

/** One set per test file, because RSA-4096 keys take seconds. */
async function makeKeys(): Promise<readonly [KeyObject, KeyObject, KeyObject]> {
  const rsa = { modulusLength: 4096, publicExponent: 65_537 };
  const pairs = await Promise.all([generate('rsa', rsa), generate('rsa', rsa), generate('rsa', rsa)]);
  return [pairs[0].privateKey, pairs[1].privateKey, pairs[2].privateKey];
}

export const ARK_SERIAL = Uint8Array.of(1);
export const ASK_SERIAL = Uint8Array.of(2, 1);

/** A hierarchy; `swap` uses other keys with the same names. */
export async function createAmd(line: Line, swap = false): Promise<Amd> {
  keys ??= makeKeys();
  const [first, second, third] = await keys;
  const [arkKey, askKey, asvkKey] = swap ? [second, first, third] : [first, second, third];
  const ark = { name: `ARK-${line}`, key: arkKey };
  const authority = (name: string, key: KeyObject, serial: Uint8Array): Authority => ({
    name,
    key,
    certificate: issue({
      subject: name,
      issuer: ark,
      serial,
      validity: span,
      publicKey: key,
      extensions: AUTHORITY,
    }),
  });
  const root = authority(ark.name, arkKey, ARK_SERIAL);
  const sha256 = `sha256:${createHash('sha256').update(root.certificate).digest('hex')}`;
  return {
    line,
    ark: root,
    ask: authority(`SEV-${line}`, askKey, ASK_SERIAL),
    asvk: authority(`SEV-VLEK-${line}`, asvkKey, Uint8Array.of(2, 2)),
    trustedRoots: [{ product: line.toLowerCase(), sha256 }],
  };
}

const number = (value: number): Uint8Array => integer(value);
export const CHIP_ID = Uint8Array.from({ length: 64 }, (_, i) => 0xc0 ^ i);

/** AMD's extensions by short name, so that a test can drop or change one. */
export function vcekExtensions(line: Line): Record<string, Extension> {
  const turin = line === 'Turin';
  return {
    structVersion: { oid: `${AMD}.1`, value: number(turin ? 1 : 0) },
    productName: { oid: `${AMD}.2`, value: ia5String(line === 'Milan' ? 'Milan-B0' : line) },
    blSPL: { oid: `${AMD}.3.1`, value: number(3) },
    teeSPL: { oid: `${AMD}.3.2`, value: number(0) },
    snpSPL: { oid: `${AMD}.3.3`, value: number(8) },
    ucodeSPL: { oid: `${AMD}.3.8`, value: number(115) },
    ...(turin ? { fmcSPL: { oid: `${AMD}.3.9`, value: number(1) } } : {}),
    hwID: { oid: `${AMD}.4`, value: turin ? CHIP_ID.subarray(0, 8) : CHIP_ID },
  };
}

export function vlekExtensions(line: Line): Record<string, Extension> {
  const { hwID: _, ...levels } = vcekExtensions(line);
  return { ...levels, cspID: { oid: `${AMD}.5`, value: ia5String('CN=cloud.example') } };
}

export const level = (name: string, value: number, line: Line): Record<string, Extension> => {
  const all = vcekExtensions(line);
  const old = all[name];
  return old === undefined ? all : { ...all, [name]: { ...old, value: number(value) } };
};
export const extraLevel = (part: number): Extension => ({ oid: `${AMD}.3.${part}`, value: number(0) });

const FAMILY: Readonly<Record<Line, readonly [number, number]>> = {
  Milan: [0x19, 0x01],
  Genoa: [0x19, 0x11],
  Turin: [0x1a, 0x02],
};

/** TCB_VERSION of the levels above. */
export function tcb(line: Line, microcode = 115): Uint8Array {
  return line === 'Turin'
    ? Uint8Array.of(1, 3, 0, 8, 0, 0, 0, microcode)
    : Uint8Array.of(3, 0, 0, 0, 0, 0, 8, microcode);
}

export interface EvidenceOptions {
  readonly kind?: 'VCEK' | 'VLEK';
  readonly extensions?: Readonly<Record<string, Extension>>;
  readonly issuer?: Issuer;
  readonly curve?: string;
  readonly notBefore?: number;
  readonly notAfter?: number;
  /** Changes the report before it is signed. */
  readonly beforeSigning?: (report: Buffer) => void;
  readonly afterSigning?: (report: Buffer) => void;
  readonly serial?: Uint8Array;
}

/** A report with its certificates, correct except for the options. */
export function createReport(amd: Amd, options: EvidenceOptions = {}) {
  const kind = options.kind ?? 'VCEK';
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: options.curve ?? 'P-384' });
  const extensions =
    options.extensions ?? (kind === 'VCEK' ? vcekExtensions(amd.line) : vlekExtensions(amd.line));
  const leaf = issue({
    subject: `SEV-${kind}`,
    issuer: options.issuer ?? (kind === 'VCEK' ? amd.ask : amd.asvk),
    serial: options.serial ?? Uint8Array.of(9),
    validity: { notBefore: options.notBefore ?? span.notBefore, notAfter: options.notAfter ?? span.notAfter },
    publicKey: privateKey,
    extensions: Object.values(extensions),
  });
  const report = Buffer.alloc(1184);
  report.writeUInt32LE(3, 0x000);
  report.writeUInt32LE(1, 0x004);
  report.writeBigUInt64LE(0x30000n, 0x008);
  report.writeUInt32LE(1, 0x034);
  report.writeBigUInt64LE(0x25n, 0x040);
  report.writeUInt32LE(kind === 'VLEK' ? 1 << 2 : 0, 0x048);
  for (const offset of [0x038, 0x180, 0x1e0, 0x1f0]) report.set(tcb(amd.line), offset);
  report.fill(0x5a, 0x090, 0x0c0);
  report.fill(0xff, 0x160, 0x180);
  report.set(FAMILY[amd.line], 0x188);
  const chip = amd.line === 'Turin' ? CHIP_ID.subarray(0, 8) : CHIP_ID;
  if (kind === 'VCEK') report.set(chip, 0x1a0);
  options.beforeSigning?.(report);
  const signature = sign('sha384', report.subarray(0, 0x2a0), { key: privateKey, dsaEncoding: 'ieee-p1363' });
  const half = signature.length / 2;
  report.set(Buffer.from(signature.subarray(0, half)).reverse(), 0x2a0);
  report.set(Buffer.from(signature.subarray(half)).reverse(), 0x2e8);
  options.afterSigning?.(report);
  const intermediate = kind === 'VCEK' ? amd.ask : amd.asvk;
  return {
    report: Uint8Array.from(report),
    certificates: [leaf, intermediate.certificate, amd.ark.certificate],
  };
}

/** A list of the root. */
export function arkList(
  amd: Amd,
  revoked: readonly Uint8Array[],
  dates: { readonly thisUpdate: number; readonly nextUpdate: number } = {
    thisUpdate: AT - DAY,
    nextUpdate: AT + DAY,
  },
): Uint8Array {
  return revocationList({ issuer: amd.ark, revoked, ...dates });
}

/** Waivers for reports of a firmware below the shipped minimum, and without a revocation list. */
export const WAIVERS = { requireRevocationList: false, minimumTcb: { milan: {}, genoa: {}, turin: {} } };
