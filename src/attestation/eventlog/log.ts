import type { HashName } from '../../crypto/crypto-port.ts';

/** A parsed event log. */

/** `pcr`: a TPM's log. `rtmr`: the log of a TDX guest (CCEL), where register 0 is MRTD and n is RTMR n-1. */
export type LogKind = 'pcr' | 'rtmr';

export interface LogEvent {
  /** From 1, without the header. */
  readonly number: number;
  /** Index in the log. */
  readonly register: number;
  readonly type: number;
  readonly digests: ReadonlyMap<HashName, Uint8Array>;
  readonly data: Uint8Array;
}

export interface EventLog {
  readonly kind: LogKind;
  /** Null for the old SHA-1-only form. */
  readonly specId: {
    readonly platformClass: number;
    readonly minor: number;
    readonly major: number;
    readonly errata: number;
    readonly uintnSize: number;
  } | null;
  /** Banks that every event has. */
  readonly banks: readonly HashName[];
  readonly events: readonly LogEvent[];
  /** Where the last event ends. */
  readonly end: number;
}

/** Name of a register for people. */
export function registerName(log: Pick<EventLog, 'kind'>, register: number): string {
  if (log.kind === 'pcr') return `PCR ${register}`;
  return register === 0 ? 'MRTD' : `RTMR ${register - 1}`;
}
