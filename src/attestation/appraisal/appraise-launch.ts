import { bytesToHex } from '@noble/hashes/utils.js';
import type { AttestationHashes } from '../../crypto/crypto-port.ts';
import { CocosError } from '../../errors.ts';
import { splitCommandLine } from '../evidence/command-line.ts';
import type { FirmwareLayout, LaunchLog, ProcessLaunchLog, VmLaunchLog } from '../evidence/launch-log.ts';
import { measureLaunch } from '../measure/launch.ts';
import { PLAIN_FIRMWARE_LAYOUT } from '../measure/snp.ts';
import type { ReferenceBuild } from '../policy/reference.ts';
import type { CheckName } from './checks.ts';
import type { CheckList } from './verdict.ts';

/** Compares the launch log with the measurement, and then its parts with the reference values of EOS. */

const VM_CHECKS = [
  'launch.firmware',
  'launch.firmware-layout',
  'launch.kernel',
  'launch.initrd',
  'launch.command-line',
  'launch.root-image',
  'launch.vcpus',
  'launch.vcpu-type',
  'launch.guest-features',
] as const satisfies CheckName[];
const PROCESS_CHECKS = ['launch.runtime', 'launch.agent'] as const satisfies CheckName[];

function layoutText(layout: FirmwareLayout = PLAIN_FIRMWARE_LAYOUT): string {
  const table = layout.hashesTable === null ? 'none' : `0x${layout.hashesTable.toString(16)}`;
  const sections = layout.sections.map((s) => `${s.page} 0x${s.gpa.toString(16)}+0x${s.size.toString(16)}`);
  return [`hashes table ${table}`, `AP 0x${layout.apEip.toString(16)}`, ...sections].join(', ');
}

/**
 * Hardware starts only firmware with SEV metadata. Other firmware ignores the table of kernel hashes: its launch digest
 * does not say which kernel, initrd and command line it starts.
 */
function refusePlainLayout(layout: FirmwareLayout | undefined, checks: CheckList): void {
  if (layoutText(layout) !== layoutText()) return;
  const expected = 'firmware with SEV metadata, which measures the kernel';
  checks.record('launch.firmware-layout', false, expected, 'a plain firmware in the reference values');
}

function compareVm(
  log: VmLaunchLog,
  reference: NonNullable<ReferenceBuild['vm']>,
  emulated: boolean,
  checks: CheckList,
): void {
  checks.equal('launch.firmware', reference.firmware.state, log.firmware.digest, reference.firmware.name);
  if (!emulated) refusePlainLayout(reference.firmware.layout, checks);
  checks.equal(
    'launch.firmware-layout',
    layoutText(reference.firmware.layout),
    layoutText(log.firmware.layout),
  );
  checks.equal('launch.kernel', reference.kernel.sha256, log.kernel, reference.kernel.name);
  checks.equal('launch.initrd', reference.initrd.sha256, log.initrd, reference.initrd.name);
  const line = splitCommandLine(log.commandLine);
  checks.equal('launch.command-line', splitCommandLine(reference.commandLine).rest, line.rest);
  const rootHash = line.rootHashes.length === 0 ? 'none' : line.rootHashes.join(' and ');
  checks.equal('launch.root-image', reference.rootHash, rootHash);
  const { maxVcpus, vcpuTypes, guestFeatures } = reference;
  checks.record('launch.vcpus', log.vcpus <= maxVcpus, `at most ${maxVcpus}`, String(log.vcpus));
  checks.record('launch.vcpu-type', vcpuTypes.includes(log.vcpuType), vcpuTypes.join(' or '), log.vcpuType);
  const featureText = (value: number): string => `0x${value.toString(16)}`;
  checks.record(
    'launch.guest-features',
    guestFeatures.includes(log.guestFeatures),
    guestFeatures.map(featureText).join(' or '),
    featureText(log.guestFeatures),
  );
}

function compareProcess(
  log: ProcessLaunchLog,
  reference: NonNullable<ReferenceBuild['process']>,
  checks: CheckList,
): void {
  checks.equal('launch.runtime', reference.runtime, log.runtime);
  checks.equal('launch.agent', reference.agent, log.agent);
  if (reference.commandLine === undefined) {
    checks.notChecked('launch.command-line', 'the reference values contain no arguments for a process');
  } else {
    checks.equal('launch.command-line', reference.commandLine, log.commandLine);
  }
}

function checkMeasurement(
  log: LaunchLog,
  measurement: Uint8Array,
  hashes: AttestationHashes,
  checks: CheckList,
): boolean {
  try {
    const note = 'recomputed from the launch log';
    return checks.equalBytes('launch.measurement', measureLaunch(log, hashes), measurement, note);
  } catch (thrown) {
    const reason = CocosError.from(thrown).message;
    return checks.record('launch.measurement', false, reason, bytesToHex(measurement));
  }
}

/**
 * Records every `launch.*` check except `launch.eos-version`. Components are compared only when the log is
 * authenticated by the measurement; an unauthenticated log proves nothing.
 *
 * @param emulated whether the platform is emulated: only there an enclave can be a process, or its firmware plain
 */
export function appraiseLaunch(
  log: LaunchLog | undefined,
  measurement: Uint8Array,
  reference: ReferenceBuild,
  emulated: boolean,
  hashes: AttestationHashes,
  checks: CheckList,
): void {
  const expected = emulated ? 'a log of a VM or a process' : 'a log of a VM';
  const found = log === undefined ? 'none' : `a log of a ${log.kind === 'vm' ? 'VM' : 'process'}`;
  const usable = log !== undefined && (emulated || log.kind === 'vm');
  if (!checks.record('launch.log', usable, expected, found) || log === undefined) return;
  const others = log.kind === 'vm' ? PROCESS_CHECKS : VM_CHECKS;
  for (const name of others) checks.notChecked(name, `not part of a ${log.kind} launch`);
  const known = reference[log.kind] !== undefined;
  checks.record('launch.reference', known, `reference values for a ${log.kind}`, known ? 'present' : 'none');
  if (!checkMeasurement(log, measurement, hashes, checks)) return;
  if (log.kind === 'vm' && reference.vm !== undefined) compareVm(log, reference.vm, emulated, checks);
  if (log.kind === 'process' && reference.process !== undefined)
    compareProcess(log, reference.process, checks);
}
