import { sign } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { firmwareState } from '../src/attestation/measure/snp.ts';
import { measureTd, withVariables } from '../src/attestation/measure/tdvf.ts';
import { predictRtmrs, predictUefiPcrs } from '../src/attestation/measure/uefi-pcrs.ts';
import { attestationCrypto } from '../src/crypto/attestation-crypto.ts';
import { VERSION } from '../src/version.ts';
import { buildFencedKernel } from './acpi-fence/compile.ts';
import { ADDON, type AgentBundle } from './agent-bundle.ts';
import { makeCodeCache } from './code-cache.ts';
import { commandLineFor } from './command-line.ts';
import { GUEST_NODE } from './guest-node.ts';
import { buildInitramfs } from './initramfs.ts';
import { selectModules } from './kernel-modules.ts';
import { ROOT } from './options.ts';
import {
  type BootFiles,
  checksums,
  type ImageContents,
  referenceValues,
  sha256,
  substitutesOf,
  tdxReferenceValues,
} from './reference-values.ts';
import { buildRootImage, type RootImage } from './root-image.ts';
import { billOfMaterials } from './sbom.ts';
import type { SecureBootKeys } from './uefi/keys.ts';
import { signImage } from './uefi/sign.ts';
import { buildUki } from './uefi/uki.ts';
import { secureBootVariables, writeVariables } from './uefi/variable-store.ts';
import type { UnpackedPackages } from './unpack.ts';

/** Runs on the host; beside the image so that the manager finds it. */
const VSOCK_DAEMON = 'vhost-device-vsock';
export const PROGRAMS: ReadonlySet<string> = new Set([VSOCK_DAEMON]);

/** Every file of an image, in the order in which they are told. */
export const OUTPUTS = [
  'vmlinuz',
  'initrd.img',
  'root.img',
  'cmdline',
  'bios.bin',
  'eos.efi',
  'ovmf-code.fd',
  'ovmf-vars.fd',
  'ovmf-amdsev.fd',
  'ovmf-tdx.fd',
  'agent.js',
  ADDON,
  VSOCK_DAEMON,
  'sbom.cdx.json',
  'build.json',
  'reference-values.json',
  'reference-values-uefi.json',
  'reference-values-snp.json',
  'reference-values-tdx.json',
  'SHA256SUMS',
] as const;

/** Made beside the others when keys are given. */
export const SUMS_SIGNATURE = 'SHA256SUMS.sig';

interface Ingredients {
  readonly packages: UnpackedPackages;
  readonly agent: AgentBundle;
  /** Null leaves the kernel image unsigned and the firmware's variables empty. */
  readonly keys: SecureBootKeys | null;
  /** Whether another script stands in place of the agent. */
  readonly isTest: boolean;
  /** One that was made of the same inputs; null makes it. */
  readonly root: RootImage | null;
  /** Folder for intermediate files. */
  readonly work: string;
}

type Files = Record<string, Uint8Array | string>;

/** What an image is put together from, whoever built it. */
interface ImageParts {
  /** Firmware, kernel stub and vsock daemon are taken from here. */
  readonly packages: UnpackedPackages;
  /** With the fence in front of it. */
  readonly kernel: Uint8Array;
  readonly initrd: Uint8Array;
  readonly root: RootImage;
  readonly agent: Pick<AgentBundle, 'script' | 'addon'>;
  readonly node: Uint8Array;
  readonly keys: SecureBootKeys | null;
  readonly sbom: Uint8Array | string;
  readonly rebuild: readonly string[];
}

/** Makes every file of the image in memory. */
export function makeImage({ packages, agent, keys, isTest, root, work }: Ingredients): {
  files: Files;
  rootHash: string;
} {
  const stock = readFileSync(join(packages.folder('linux-image-cloud-amd64'), 'boot', kernelName(packages)));
  const { kernel, aml } = buildFencedKernel(packages, stock, join(work, 'acpi-fence'));
  const busybox = join(packages.folder('busybox-static'), 'usr/bin/busybox');
  const modules = selectModules(packages.folder('linux-image-cloud-amd64'), busybox);
  const makeRoot = (): RootImage => {
    const cache = makeCodeCache(GUEST_NODE, agent.script, { evaluate: !isTest, work });
    return buildRootImage({ packages, agent, modules, cache, isTest, work });
  };
  return assembleImage({
    ...{ packages, kernel, agent, keys },
    initrd: buildInitramfs(packages, modules, aml),
    root: root ?? makeRoot(),
    node: readFileSync(GUEST_NODE),
    sbom: billOfMaterials({ packages, bundled: agent.packages, eosVersion: VERSION }),
    rebuild: ['npm ci', `npm run eos -- --out DIR${keys === null ? '' : ' --secure-boot KEYS'}`],
  });
}

/** Kernel image, firmware, reference values and sums of a kernel, an initramfs and a root image. */
export function assembleImage(parts: ImageParts): { files: Files; rootHash: string } {
  const { packages, kernel, initrd, root, agent, keys } = parts;
  const fileOf = (wish: string, path: string): Buffer => readFileSync(join(packages.folder(wish), path));
  const commandLine = commandLineFor(root);
  const stub = fileOf('systemd-boot-efi', 'usr/lib/systemd/boot/efi/linuxx64.efi.stub');
  const unsigned = buildUki({ stub, kernel, initrd, commandLine });
  const uki = keys === null ? unsigned : signImage(unsigned, keys.signer);
  const empty = fileOf('ovmf', 'usr/share/OVMF/OVMF_VARS_4M.fd');
  const variables = keys === null ? empty : writeVariables(empty, secureBootVariables(keys));
  const bios = fileOf('seabios', 'usr/share/seabios/bios-256k.bin');
  const code = fileOf('ovmf', 'usr/share/OVMF/OVMF_CODE_4M.secboot.fd');
  const amdSev = fileOf('ovmf-amdsev', 'usr/share/ovmf/OVMF.amdsev.fd');
  // As packaged it would trust Microsoft's keys and no others.
  const tdx = withVariables(fileOf('ovmf-inteltdx', 'usr/share/ovmf/OVMF.inteltdx.ms.fd'), variables);
  const files: Files = {
    vmlinuz: kernel,
    'initrd.img': initrd,
    'root.img': root.bytes,
    cmdline: commandLine,
    'bios.bin': bios,
    'eos.efi': uki,
    'ovmf-code.fd': code,
    'ovmf-vars.fd': variables,
    'ovmf-amdsev.fd': amdSev,
    'ovmf-tdx.fd': tdx,
    'agent.js': agent.script,
    [ADDON]: agent.addon,
    [VSOCK_DAEMON]: fileOf(VSOCK_DAEMON, join('usr/bin', VSOCK_DAEMON)),
    'build.json': buildInfo(keys !== null, parts.rebuild),
    'sbom.cdx.json': parts.sbom,
  };
  const contents: ImageContents = {
    commandLine,
    rootHash: root.rootHash,
    agent: agent.script,
    node: parts.node,
    substitutes: substitutesOf(packages.list),
    files: { ...files },
  };
  const direct = (name: string, firmware: Uint8Array): BootFiles => ({
    firmware: { name, bytes: firmware },
    state: firmwareState(firmware, attestationCrypto),
    kernel: { name: 'vmlinuz', bytes: kernel },
    initrd: { name: 'initrd.img', bytes: initrd },
  });
  const uefi: BootFiles = {
    firmware: { name: 'ovmf-code.fd', bytes: code },
    // Without a table of kernel hashes in the firmware, a launch is measured as that of plain firmware.
    state: { state: firmwareState(code, attestationCrypto).state },
    kernel: { name: 'eos.efi', bytes: uki },
    initrd: { name: 'initrd.img', bytes: initrd },
    pcrs: predictUefiPcrs({ uki, variables }, attestationCrypto),
  };
  files['reference-values.json'] = referenceValues(contents, direct('bios.bin', bios));
  files['reference-values-uefi.json'] = referenceValues(contents, uefi);
  files['reference-values-snp.json'] = referenceValues(contents, direct('ovmf-amdsev.fd', amdSev));
  files['reference-values-tdx.json'] = tdxReferenceValues(contents, {
    mrtd: measureTd(tdx, attestationCrypto),
    rtmrs: predictRtmrs({ uki, variables }, attestationCrypto),
  });
  const sums = checksums(files);
  files['SHA256SUMS'] = sums;
  // RSASSA-PKCS1-v1_5, which has no random part: the same image has the same signature.
  if (keys !== null) files[SUMS_SIGNATURE] = sign('sha256', Buffer.from(sums), keys.signer.key);
  return { files, rootHash: Buffer.from(root.rootHash).toString('hex') };
}

/** What whoever wants to rebuild the image needs: which sources and packages it is of, and the commands. */
function buildInfo(isSigned: boolean, commands: readonly string[]): string {
  const lock = readFileSync(join(ROOT, 'eos/packages.lock.json'));
  const info = {
    version: 1,
    eosVersion: VERSION,
    packagesLock: sha256(lock),
    modulesLock: sha256(readFileSync(join(ROOT, 'package-lock.json'))),
    isSigned,
    rebuild: [
      `check out the sources of version ${VERSION} whose eos/packages.lock.json has the SHA-256 above`,
      ...commands,
      'cocos-cli eos diff DIR THIS-FOLDER',
    ],
  };
  return `${JSON.stringify(info, null, 2)}\n`;
}

function kernelName(packages: UnpackedPackages): string {
  const boot = join(packages.folder('linux-image-cloud-amd64'), 'boot');
  const name = readdirSync(boot).find((each) => each.startsWith('vmlinuz-'));
  if (name === undefined) throw new Error('the kernel package has no vmlinuz');
  return name;
}
