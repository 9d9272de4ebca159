import { verify, X509Certificate } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { measureLaunch } from '../../attestation/measure/launch.ts';
import { firmwareState } from '../../attestation/measure/snp.ts';
import { measureTd } from '../../attestation/measure/tdvf.ts';
import { predictRtmrs, predictUefiPcrs } from '../../attestation/measure/uefi-pcrs.ts';
import { onlyBuild, parseReferenceValues } from '../../attestation/policy/reference.ts';
import { attestationCrypto } from '../../crypto/attestation-crypto.ts';
import { CocosError } from '../../errors.ts';
import { digestFile, namingFile, readInput, readJson } from '../files.ts';
import { judgeSignature, type SignatureState, trustedCertificates } from './uki-signature.ts';

/** A folder with an EOS image, as eos/build.ts writes it. */

const SUMS = 'SHA256SUMS';
const SUMS_SIGNATURE = 'SHA256SUMS.sig';
const LINE = /^([0-9a-f]{64}) [ *]([A-Za-z0-9][A-Za-z0-9._-]{0,199})$/;
/** SEV_FEATURES: SNP active, nothing else. */
const GUEST_FEATURES = 0x1;

export interface SumCheck {
  readonly name: string;
  readonly expected: string | null;
  /** Null for a missing file. */
  readonly found: string | null;
}

/** Checks every file listed in `SHA256SUMS` and every other file of the folder. @throws CocosError FILE_NOT_FOUND, INPUT_INVALID */
export async function checkSums(folder: string): Promise<SumCheck[]> {
  const text = (await readInput(path.join(folder, SUMS))).toString('utf8');
  const expected = new Map(text.split('\n').filter(Boolean).map(parseLine));
  const there = (await readdir(folder)).filter(
    (name) => name !== SUMS && name !== SUMS_SIGNATURE && !name.startsWith('.'),
  );
  const names = [...new Set([...expected.keys(), ...there])].sort();
  const checks: SumCheck[] = [];
  for (const name of names) {
    const found = there.includes(name) ? (await digestFile(path.join(folder, name))).digest : null;
    checks.push({
      name,
      expected: expected.get(name) ?? null,
      found: found?.replace(/^sha256:/, '') ?? null,
    });
  }
  return checks;
}

function parseLine(line: string): [string, string] {
  const [, digest, name] = LINE.exec(line) ?? [];
  if (digest === undefined || name === undefined) {
    throw new CocosError(
      'INPUT_INVALID',
      `Invalid line '${line.slice(0, 100)}' in ${SUMS}: expected a SHA-256 digest and a file name.`,
    );
  }
  return [name, digest];
}

/**
 * Packages of the image that are not the ones its sources pin, a sentence for each.
 *
 * @throws CocosError FILE_NOT_FOUND, REFERENCE_INVALID
 */
export async function substitutedPackages(folder: string): Promise<string[]> {
  const file = path.join(folder, 'reference-values.json');
  const json = await readJson(file);
  const { substitutes = [] } = namingFile(file, () => onlyBuild(parseReferenceValues(json)));
  return substitutes.map(
    ({ name, version, substitutes: pinned }) =>
      `${name} ${version} was taken in the place of ${pinned}, which the sources pin`,
  );
}

export interface LaunchShape {
  readonly vcpus: number;
  readonly vcpuType: string;
}

/**
 * The launch digest of a direct boot: under SEV-SNP with the firmware that measures kernel hashes, or as the emulated
 * security processor reports it.
 */
export async function predictLaunch(
  folder: string,
  firmware: 'ovmf-amdsev.fd' | 'bios.bin',
  { vcpus, vcpuType }: LaunchShape,
): Promise<string> {
  const read = (name: string): Promise<Buffer> => readInput(path.join(folder, name));
  const sha256 = async (name: string): Promise<string> =>
    (await digestFile(path.join(folder, name))).digest.replace(/^sha256:/, '');
  const { state, layout } = firmwareState(await read(firmware), attestationCrypto);
  const measurement = measureLaunch(
    {
      kind: 'vm',
      firmware: { name: firmware, digest: state, ...(layout === undefined ? {} : { layout }) },
      kernel: await sha256('vmlinuz'),
      initrd: await sha256('initrd.img'),
      commandLine: (await read('cmdline')).toString('utf8').trim(),
      vcpus,
      vcpuType,
      guestFeatures: GUEST_FEATURES,
    },
    attestationCrypto,
  );
  return Buffer.from(measurement).toString('hex');
}

/**
 * The state of the kernel image's signature.
 *
 * @param certificate PEM file of the required signer; by default any that the variables of its firmware trust
 * @throws CocosError FILE_NOT_FOUND, INPUT_INVALID, MEASURE_UNSUPPORTED
 */
export async function imageSignature(folder: string, certificate?: string): Promise<SignatureState> {
  const image = await readInput(path.join(folder, 'eos.efi'));
  return judgeSignature(image, await trustedBy(folder, certificate));
}

/**
 * The state of the signature over the sums, RSASSA-PKCS1-v1_5 with SHA-256 by the key that signs the kernel image.
 *
 * @param certificate as for {@link imageSignature}
 * @throws CocosError FILE_NOT_FOUND, INPUT_INVALID, MEASURE_UNSUPPORTED
 */
export async function sumsSignature(folder: string, certificate?: string): Promise<SignatureState> {
  if (!(await readdir(folder)).includes(SUMS_SIGNATURE)) return 'unsigned';
  const trusted = await trustedBy(folder, certificate);
  const sums = await readInput(path.join(folder, SUMS));
  const signature = await readInput(path.join(folder, SUMS_SIGNATURE));
  const isBy = (der: Uint8Array): boolean =>
    verify('sha256', sums, new X509Certificate(der).publicKey, signature);
  return trusted.some(isBy) ? 'valid' : 'invalid';
}

/** Certificates of the accepted signers, DER. */
async function trustedBy(folder: string, certificate: string | undefined): Promise<readonly Uint8Array[]> {
  if (certificate !== undefined) return [await readCertificate(certificate)];
  return trustedCertificates(await readInput(path.join(folder, 'ovmf-vars.fd')));
}

async function readCertificate(file: string): Promise<Uint8Array> {
  const text = await readInput(file);
  try {
    return new X509Certificate(text).raw;
  } catch (cause) {
    throw new CocosError('INPUT_INVALID', `Cannot parse the certificate ${file}: expected PEM.`, { cause });
  }
}

/**
 * MRTD of a TDX launch with the image's firmware, hex.
 *
 * @throws CocosError FILE_NOT_FOUND, MEASURE_UNSUPPORTED
 */
export async function predictTd(folder: string): Promise<string> {
  const mrtd = measureTd(await readInput(path.join(folder, 'ovmf-tdx.fd')), attestationCrypto);
  if (mrtd === null)
    throw new CocosError('MEASURE_UNSUPPORTED', 'ovmf-tdx.fd is not a TDX firmware: it has no TDX metadata.');
  return Buffer.from(mrtd).toString('hex');
}

/** PCRs or runtime registers of a UEFI boot of the unified kernel image. */
export async function predictUefi(
  folder: string,
  kind: 'pcr' | 'rtmr',
): Promise<Readonly<Record<string, string>>> {
  const uki = await readInput(path.join(folder, 'eos.efi'));
  const variables = await readInput(path.join(folder, 'ovmf-vars.fd'));
  const predict = kind === 'pcr' ? predictUefiPcrs : predictRtmrs;
  return predict({ uki, variables }, attestationCrypto);
}
