import { CocosError } from '../../errors.ts';
import type { EventLog, LogEvent } from './log.ts';
import { EV_EFI_VARIABLE_DRIVER_CONFIG, EV_NO_ACTION, EV_SEPARATOR } from './types.ts';

/**
 * Rules of order that firmware keeps (TCG PC Client Platform Firmware Profile, PCR usage). A replay alone does not show a
 * violation: whoever can extend a register after the firmware can append events that contradict those of the firmware.
 */

export const SPEC_ID_SIGNATURE = 'Spec ID Event03\0';
const STARTUP_LOCALITY = 'StartupLocality\0';

/** PCRs of the firmware, each of which one separator closes. Later PCRs belong to the operating system. */
const FIRMWARE_PCRS = 7;
const SECURE_BOOT_PCR = 7;
/** PCR 1 and PCR 7 of a machine without TDX both map to RTMR 0, index 1 of a CCEL. */
const SECURE_BOOT_INDEX = { pcr: SECURE_BOOT_PCR, rtmr: 1 } as const;
/** Data of a separator after a boot without errors: 0 or -1. */
const SEPARATORS: ReadonlySet<string> = new Set(['0,0,0,0', '255,255,255,255']);

const startsWith = ({ data }: LogEvent, signature: string): boolean =>
  String.fromCharCode(...data.subarray(0, signature.length)) === signature;

/** Whether an event names the locality at which the TPM was started. */
export const isStartupLocality = (event: LogEvent): boolean =>
  event.register === 0 &&
  event.type === EV_NO_ACTION &&
  event.data.length === STARTUP_LOCALITY.length + 1 &&
  startsWith(event, STARTUP_LOCALITY);

function separatorProblem(event: LogEvent, closed: ReadonlySet<number>): string | null {
  if (!SEPARATORS.has(event.data.join()))
    return `event ${event.number} is a separator with the data of a failed boot, or unknown data`;
  if (closed.has(event.register))
    return `event ${event.number} is a second separator in PCR ${event.register}`;
  return null;
}

function problemOf(log: EventLog): string | null {
  const closed = new Set<number>();
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
    if (type === EV_SEPARATOR && log.kind === 'pcr' && register <= FIRMWARE_PCRS) {
      const problem = separatorProblem(event, closed);
      if (problem !== null) return problem;
      closed.add(register);
    }
    const isLate = last !== undefined && number > last.number;
    if (register === secureBoot && type === EV_EFI_VARIABLE_DRIVER_CONFIG && isLate)
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
