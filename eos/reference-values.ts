import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './options.ts';

const sha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');

export interface BuiltFiles {
  readonly firmware: Uint8Array;
  readonly kernel: Uint8Array;
  readonly initrd: Uint8Array;
  readonly commandLine: string;
  readonly rootHash: Uint8Array;
  readonly agent: Uint8Array;
  readonly node: Uint8Array;
  /** All outputs by file name. */
  readonly outputs: Readonly<Record<string, Uint8Array | string>>;
}

/** What `firmwareState` of the attestation gives. */
interface FirmwareState {
  readonly state: string;
  readonly layout?: unknown;
}

/**
 * The contents of `reference-values.json`: what a genuine enclave of this build measures to.
 *
 * @param firmware state of the launch digest after the firmware's pages
 */
export function referenceValues(built: BuiltFiles, firmware: FirmwareState) {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
  const names = Object.keys(built.outputs).sort();
  return {
    version: 1,
    eosVersion: version,
    vm: {
      firmware: { name: 'bios.bin', sha256: sha256(built.firmware), ...firmware },
      kernel: { name: 'vmlinuz', sha256: sha256(built.kernel) },
      initrd: { name: 'initrd.img', sha256: sha256(built.initrd) },
      commandLine: built.commandLine,
      rootHash: Buffer.from(built.rootHash).toString('hex'),
      vcpuTypes: ['EPYC-v3', 'EPYC-v4'],
      maxVcpus: 8,
    },
    process: { agent: sha256(built.agent), runtime: sha256(built.node) },
    files: Object.fromEntries(names.map((name) => [name, sha256(built.outputs[name] ?? '')])),
  };
}

/** The contents of `SHA256SUMS`, in the form that `sha256sum -c` reads. */
export function checksums(outputs: Readonly<Record<string, Uint8Array | string>>): string {
  const names = Object.keys(outputs).sort();
  return names.map((name) => `${sha256(outputs[name] ?? '')}  ${name}\n`).join('');
}
