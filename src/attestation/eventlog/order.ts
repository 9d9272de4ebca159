import { CocosError } from '../../errors.ts';
import { type EventLog, type LogEvent, type LogKind, registerName } from './log.ts';
import { EV_EFI_VARIABLE_DRIVER_CONFIG, EV_NO_ACTION, EV_SEPARATOR } from './types.ts';

/**
 * Rules of order that firmware keeps (TCG PC Client Platform Firmware Profile, PCR usage). A replay alone does not show a
 * violation: whoever can extend a register after the firmware can append events that contradict those of the firmware.
 */

export const SPEC_ID_SIGNATURE = 'Spec ID Event03\0';
const STARTUP_LOCALITY = 'StartupLocality\0';

/**
 * Registers of the firmware, and how many separators close each: one for each PCR. In a CCEL, index 0 (MRTD) stands for PCR 0,
 * index 1 (RTMR 0) for PCR 1 and 7, index 2 (RTMR 1) for PCR 2 to 6. Later registers belong to the operating system.
 */
const SEPARATORS_OF: Readonly<Record<LogKind, ReadonlyMap<number, number>>> = {
  pcr: new Map([0, 1, 2, 3, 4, 5, 6, 7].map((pcr) => [pcr, 1])),
  rtmr: new Map([
    [0, 1],
    [1, 2],
    [2, 5],
  ]),
};
const SECURE_BOOT_PCR = 7;
/** PCR 1 and PCR 7 of a machine without TDX both map to RTMR 0, index 1 of a CCEL. */
const SECURE_BOOT_INDEX = { pcr: SECURE_BOOT_PCR, rtmr: 1 } as const;
/** Variables that PCR 7 covers; RTMR 0 also has those of other drivers. */
const SECURE_BOOT_VARIABLES: ReadonlySet<string> = new Set([
  'SecureBoot',
  'PK',
  'KEK',
  'db',
  'dbx',
  'dbt',
  'dbr',
]);
/** Data of a separator after a boot without errors: 0 or -1. */
const SEPARATORS: ReadonlySet<string> = new Set(['0,0,0,0', '255,255,255,255']);

const VARIABLE_HEADER_BYTES = 32;

const startsWith = ({ data }: LogEvent, signature: string): boolean =>
  String.fromCharCode(...data.subarray(0, signature.length)) === signature;

/** Whether an event names the locality at which the TPM was started. */
export const isStartupLocality = (event: LogEvent): boolean =>
  event.register === 0 &&
  event.type === EV_NO_ACTION &&
  event.data.length === STARTUP_LOCALITY.length + 1 &&
  startsWith(event, STARTUP_LOCALITY);

function separatorProblem(event: LogEvent, kind: LogKind, before: number): string | null {
  const { number, register, data } = event;
  const most = SEPARATORS_OF[kind].get(register);
  if (most === undefined) return null;
  if (!SEPARATORS.has(data.join()))
    return `event ${number} is a separator with the data of a failed boot, or unknown data`;
  if (before < most) return null;
  const name = registerName({ kind }, register);
  return most === 1
    ? `event ${number} is a second separator in ${name}`
    : `event ${number} is one separator too many in ${name}`;
}

/** Name in UEFI_VARIABLE_DATA: a GUID, two lengths in 64 bits, the name in UTF-16. */
function variableName({ data }: LogEvent): string | null {
  if (data.length < VARIABLE_HEADER_BYTES) return null;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const characters = view.getBigUint64(16, true);
  if (BigInt(VARIABLE_HEADER_BYTES) + characters * 2n > BigInt(data.length)) return null;
  return Array.from({ length: Number(characters) }, (_, index) =>
    String.fromCharCode(view.getUint16(VARIABLE_HEADER_BYTES + 2 * index, true)),
  ).join('');
}

function problemOf(log: EventLog): string | null {
  const separators = new Map<number, number>();
  const secureBoot = SECURE_BOOT_INDEX[log.kind];
  const last = log.events.findLast(({ register, type }) => register === secureBoot && type === EV_SEPARATOR);
  let extendedPcr0 = false;
  for (const event of log.events) {
    const { number, register, type } = event;
    if (type === EV_NO_ACTION && startsWith(event, SPEC_ID_SIGNATURE))
      return `event ${number} is a second header`;
    if (log.kind === 'pcr' && isStartupLocality(event)) {
      if (extendedPcr0) return `event ${number} names the startup locality after PCR 0 was extended`;
      extendedPcr0 = true;
    }
    if (register === 0 && type !== EV_NO_ACTION) extendedPcr0 = true;
    const before = separators.get(register) ?? 0;
    if (type === EV_SEPARATOR) {
      const problem = separatorProblem(event, log.kind, before);
      if (problem !== null) return problem;
      separators.set(register, before + 1);
    }
    if (register !== secureBoot || type !== EV_EFI_VARIABLE_DRIVER_CONFIG) continue;
    const isLate = last !== undefined && number > last.number;
    // The separator of PCR 7 comes before that of PCR 1. What comes between them in RTMR 0 belongs to PCR 1.
    if (isLate || (before > 0 && SECURE_BOOT_VARIABLES.has(variableName(event) ?? '')))
      return `event ${number} measures a Secure Boot variable after the separator`;
  }
  return null;
}

/** @throws CocosError EVIDENCE_INVALID when a log violates the order that firmware keeps. */
export function checkOrder(log: EventLog): void {
  const problem = problemOf(log);
  if (problem === null) return;
  throw new CocosError('EVIDENCE_INVALID', `event log: ${problem}`, {
    details: { check: 'event-log.order' },
  });
}
