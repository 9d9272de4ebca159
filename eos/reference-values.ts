import { createHash } from 'node:crypto';
import { layerInputs } from '../src/agent/evidence/dice/chain.ts';
import { computationLayer } from '../src/agent/evidence/dice/guest-chain.ts';
import type { PcrTable } from '../src/attestation/measure/uefi-pcrs.ts';
import { VERSION } from '../src/version.ts';
import type { PinnedPackage } from './unpack.ts';

export const sha256 = (bytes: Uint8Array | string): string =>
  createHash('sha256').update(bytes).digest('hex');

/** One way of starting the image: what the launch measures. */
export interface BootFiles {
  readonly firmware: { readonly name: string; readonly bytes: Uint8Array };
  /** Launch digest after the firmware's pages, and what follows them. */
  readonly state: { readonly state: string; readonly layout?: unknown };
  readonly kernel: { readonly name: string; readonly bytes: Uint8Array };
  readonly initrd: { readonly name: string; readonly bytes: Uint8Array };
  /** PCRs that a vTPM will hold, where the firmware measures into one. */
  readonly pcrs?: PcrTable;
}

interface Substitute {
  readonly name: string;
  readonly version: string;
  /** Name and version of the locked package. */
  readonly substitutes: string;
}

/** Which of the packages are not the locked ones. */
export function substitutesOf(packages: readonly PinnedPackage[]): Substitute[] {
  return packages.flatMap(({ name, version, substitutes }) =>
    substitutes === null ? [] : [{ name, version, substitutes }],
  );
}

export interface ImageContents {
  readonly commandLine: string;
  readonly rootHash: Uint8Array;
  readonly agent: Uint8Array;
  readonly node: Uint8Array;
  /** Packages of the build that are not the locked ones. */
  readonly substitutes: readonly Substitute[];
  /** All files of the image by name. */
  readonly files: Readonly<Record<string, Uint8Array | string>>;
}

const VCPU_TYPES = ['EPYC-v3', 'EPYC-v4'];
const MAX_VCPUS = 8;

/** Differs for each way of starting an image, so that several files can be put into one. */
const nameOf = (firmware: string): string => `EOS ${VERSION} with ${firmware}`;

/** The text of a `reference-values.json`: what a genuine enclave of this build measures to when started this way. */
export function referenceValues(image: ImageContents, boot: BootFiles): string {
  const file = ({ name, bytes }: { name: string; bytes: Uint8Array }) => ({ name, sha256: sha256(bytes) });
  const values = {
    version: 1,
    name: nameOf(boot.firmware.name),
    eosVersion: VERSION,
    vm: {
      firmware: { ...file(boot.firmware), ...boot.state },
      kernel: file(boot.kernel),
      initrd: file(boot.initrd),
      commandLine: image.commandLine,
      rootHash: Buffer.from(image.rootHash).toString('hex'),
      vcpuTypes: VCPU_TYPES,
      maxVcpus: MAX_VCPUS,
    },
    process: { agent: sha256(image.agent), runtime: sha256(image.node) },
    dice: { layers: diceLayers(image) },
    ...(boot.pcrs === undefined ? {} : { vtpm: { bank: 'sha256', pcrs: boot.pcrs } }),
    ...(image.substitutes.length === 0 ? {} : { substitutes: image.substitutes }),
    files: digests(image.files),
  };
  return `${JSON.stringify(values, null, 2)}\n`;
}

/** The same for a trust domain of TDX, whose firmware starts the kernel image. */
export function tdxReferenceValues(
  image: ImageContents,
  { mrtd, rtmrs }: { readonly mrtd: Uint8Array | null; readonly rtmrs: PcrTable },
): string {
  if (mrtd === null) throw new Error('the firmware for TDX has no TDX metadata');
  const registers = Object.entries(rtmrs).map(([index, value]) => [`rtmr${index}`, value]);
  const values = {
    version: 1,
    name: nameOf('ovmf-tdx.fd'),
    eosVersion: VERSION,
    tdx: { mrtd: Buffer.from(mrtd).toString('hex'), ...Object.fromEntries(registers) },
    dice: { layers: diceLayers(image) },
    ...(image.substitutes.length === 0 ? {} : { substitutes: image.substitutes }),
    files: digests(image.files),
  };
  return `${JSON.stringify(values, null, 2)}\n`;
}

/** What the chain of a guest states of its layers; the last holds the manifest, which no build knows. */
function diceLayers({ commandLine, rootHash, agent }: ImageContents) {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
  const code = createHash('sha512').update(agent).digest();
  const known = [
    { name: 'eos', version: VERSION, code: rootHash, commandLine },
    { name: 'agent', version: VERSION, code },
  ].map((layer) => layerInputs(layer).inputs);
  return [
    ...known.map(({ code, configuration }) => ({
      codeHashes: [hex(code)],
      configurations: [hex(configuration)],
    })),
    { configurations: [hex(layerInputs(computationLayer(null)).inputs.configuration)] },
  ];
}

function digests(files: ImageContents['files']): Record<string, string> {
  const names = Object.keys(files).sort();
  return Object.fromEntries(names.map((name) => [name, sha256(files[name] ?? '')]));
}

/** The contents of `SHA256SUMS`, in the form that `sha256sum -c` reads. */
export function checksums(files: ImageContents['files']): string {
  return Object.entries(digests(files))
    .map(([name, digest]) => `${digest}  ${name}\n`)
    .join('');
}
