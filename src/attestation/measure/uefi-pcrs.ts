import { bytesToHex, concatBytes, utf8ToBytes } from '@noble/hashes/utils.js';
import type { AttestationHashes } from '../../crypto/crypto-port.ts';
import { CocosError } from '../../errors.ts';
import { authenticodeDigest, peSection } from './pe.ts';
import { GLOBAL_VARIABLE, SECURITY_DATABASE, utf16, variableEvent } from './uefi-variables.ts';
import { readVariables } from './variable-store.ts';

/**
 * PCRs of a UEFI boot of one unified kernel image, from the files alone (TCG PC Client Platform Firmware Profile;
 * systemd's stub; the EFI stub of Linux). Bank SHA-256.
 *
 * | PCR | content |
 * | --- | --- |
 * | 2, 3, 6 | only the separator: no option ROM, no driver configuration |
 * | 4 | the kernel image that was started; without Secure Boot also the kernel in it |
 * | 5 | its start, and the exit from boot services |
 * | 7 | Secure Boot: its state, its keys, and the key that authorised the kernel image |
 * | 9 | command line and initrd, by the kernel |
 * | 11 | kernel, command line, initrd and the version of the stub, by the stub |
 */

/** Sections that the stub measures, in its order. */
const MEASURED_SECTIONS = [
  '.linux',
  '.osrel',
  '.cmdline',
  '.initrd',
  '.ucode',
  '.splash',
  '.dtb',
  '.uname',
  '.sbat',
];
const SEPARATOR = new Uint8Array(4);
const LIST_HEADER_BYTES = 28;

export interface UefiFiles {
  /** The kernel image, signed or not. */
  readonly uki: Uint8Array;
  /** The variable store of the firmware. */
  readonly variables: Uint8Array;
}

/** PCR index to value in hex. */
export type PcrTable = Readonly<Record<string, string>>;

interface Event {
  readonly pcr: number;
  readonly digest: Uint8Array;
}

type Hash = (data: Uint8Array) => Uint8Array;

/** PCRs whose events a TDX guest measures into each runtime register (UEFI 2.10, section 38.4.1). */
const RTMR_OF_PCRS = { '1': [2, 3, 4, 5, 6], '2': [8, 9, 10, 11, 12, 13, 14, 15] } as const;

/**
 * PCRs of the bank SHA-256.
 *
 * @throws CocosError MEASURE_UNSUPPORTED when the image or the variables are malformed
 */
export function predictUefiPcrs(files: UefiFiles, hashes: AttestationHashes): PcrTable {
  const hash: Hash = (data) => hashes.sha256(data);
  const events = bootEvents(files, hash);
  const predicted = ['2', '3', '4', '5', '6', '7', '9', '11'];
  return Object.fromEntries(predicted.map((pcr) => [pcr, extendAll(events, [Number(pcr)], hash, 32)]));
}

/**
 * Runtime registers 1 and 2 of a TDX guest that boots the same files. Register 0 cannot be predicted from files: the host
 * creates the memory list, the ACPI tables and the boot options that are measured into it.
 *
 * @throws CocosError MEASURE_UNSUPPORTED
 */
export function predictRtmrs(files: UefiFiles, hashes: AttestationHashes): PcrTable {
  const hash: Hash = (data) => hashes.sha384(data);
  // TDX firmware writes one separator per register, and of the predicted ones only to register 1.
  const events = bootEvents(files, hash, [4]);
  return Object.fromEntries(
    Object.entries(RTMR_OF_PCRS).map(([register, pcrs]) => [register, extendAll(events, pcrs, hash, 48)]),
  );
}

function extendAll(events: readonly Event[], pcrs: readonly number[], hash: Hash, size: number): string {
  let value: Uint8Array = new Uint8Array(size);
  for (const { pcr, digest } of events) if (pcrs.includes(pcr)) value = hash(concatBytes(value, digest));
  return bytesToHex(value);
}

/** The events of a boot in the order of the log, as far as they do not depend on the firmware's build. */
function bootEvents(
  { uki, variables }: UefiFiles,
  hash: Hash,
  separated: readonly number[] = [2, 3, 4, 5, 6],
): Event[] {
  const event = (pcr: number, data: Uint8Array): Event => ({ pcr, digest: hash(data) });
  const action = (pcr: number, text: string): Event => event(pcr, utf8ToBytes(text));
  const section = (name: string): Uint8Array => {
    const bytes = peSection(uki, name);
    if (bytes === null)
      throw new CocosError('MEASURE_UNSUPPORTED', `The kernel image has no section ${name}.`);
    return bytes;
  };
  const commandLine = new TextDecoder().decode(section('.cmdline'));
  const sections = MEASURED_SECTIONS.flatMap((name) => {
    const bytes = peSection(uki, name);
    return bytes === null ? [] : [action(11, `${name}\0`), event(11, bytes)];
  });
  return [
    ...secureBootEvents(variables, event),
    { pcr: 4, digest: authenticodeDigest(uki, hash) },
    action(4, 'Calling EFI Application from Boot Option'),
    ...separated.map((pcr) => event(pcr, SEPARATOR)),
    ...sections,
    // Without Secure Boot, the stub loads the inner kernel through the firmware, which measures it too.
    ...(isSecureBootOn(variables) ? [] : [{ pcr: 4, digest: authenticodeDigest(section('.linux'), hash) }]),
    event(9, utf16(`${commandLine}\0`)),
    event(9, section('.initrd')),
    action(5, 'Exit Boot Services Invocation'),
    action(5, 'Exit Boot Services Returned with Success'),
  ];
}

/** The firmware enables Secure Boot if there is a platform key. */
function isSecureBootOn(store: Uint8Array): boolean {
  return readVariables(store).some(({ name, vendor }) => name === 'PK' && vendor === GLOBAL_VARIABLE);
}

function secureBootEvents(store: Uint8Array, event: (pcr: number, data: Uint8Array) => Event): Event[] {
  const variables = readVariables(store);
  const dataOf = (name: string, vendor: string): Uint8Array =>
    variables.find((each) => each.name === name && each.vendor === vendor)?.data ?? new Uint8Array();
  const variable = (name: string, vendor: string, data: Uint8Array): Event =>
    event(7, variableEvent({ name, vendor, data }));
  const pk = dataOf('PK', GLOBAL_VARIABLE);
  const db = dataOf('db', SECURITY_DATABASE);
  const isSecure = isSecureBootOn(store);
  const configuration = [
    variable('SecureBoot', GLOBAL_VARIABLE, Uint8Array.of(isSecure ? 1 : 0)),
    variable('PK', GLOBAL_VARIABLE, pk),
    variable('KEK', GLOBAL_VARIABLE, dataOf('KEK', GLOBAL_VARIABLE)),
    variable('db', SECURITY_DATABASE, db),
    variable('dbx', SECURITY_DATABASE, dataOf('dbx', SECURITY_DATABASE)),
    event(7, SEPARATOR),
  ];
  // The authority is the only certificate of db, without the header of its list.
  const authority = db.subarray(LIST_HEADER_BYTES);
  return isSecure ? [...configuration, variable('db', SECURITY_DATABASE, authority)] : configuration;
}
