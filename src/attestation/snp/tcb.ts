import { CocosError } from '../../errors.ts';
import type { TcbLayout } from './products.ts';

/** Security patch levels of the platform's firmware (TCB_VERSION, AMD 57230). `fmc` exists from Turin on. */
export interface Tcb {
  readonly fmc?: number;
  readonly bootloader: number;
  readonly tee: number;
  readonly snp: number;
  readonly microcode: number;
}

export const TCB_PARTS = ['fmc', 'bootloader', 'tee', 'snp', 'microcode'] as const satisfies (keyof Tcb)[];

/** Byte of each part. */
const OFFSETS = {
  milan: { bootloader: 0, tee: 1, snp: 6, microcode: 7 },
  turin: { fmc: 0, bootloader: 1, tee: 2, snp: 3, microcode: 7 },
} as const satisfies Record<TcbLayout, Partial<Record<keyof Tcb, number>>>;

/**
 * Decodes the 8 bytes of a TCB_VERSION. The layout depends on the product, not on the report's version.
 *
 * @throws CocosError EVIDENCE_INVALID when a reserved byte is set.
 */
export function decodeTcb(raw: Uint8Array, layout: TcbLayout): Tcb {
  const offsets = OFFSETS[layout];
  const used = new Set<number>(Object.values(offsets));
  if (raw.length !== 8 || raw.some((byte, index) => byte !== 0 && !used.has(index))) {
    throw new CocosError('EVIDENCE_INVALID', 'a TCB version has a reserved byte set');
  }
  const at = (offset: number): number => raw[offset] ?? 0;
  const { bootloader, tee, snp, microcode } = offsets;
  const parts = { bootloader: at(bootloader), tee: at(tee), snp: at(snp), microcode: at(microcode) };
  return layout === 'turin' ? { fmc: at(OFFSETS.turin.fmc), ...parts } : parts;
}

/** The 8 bytes of a TCB_VERSION. */
export function encodeTcb(tcb: Tcb, layout: TcbLayout): Uint8Array {
  const raw = new Uint8Array(8);
  for (const [part, offset] of Object.entries(OFFSETS[layout])) raw[offset] = tcb[part as keyof Tcb] ?? 0;
  return raw;
}

/** Whether every part of `low` is at most that of `high`. */
export function tcbAtMost(low: Tcb, high: Tcb): boolean {
  return TCB_PARTS.every((part) => (low[part] ?? 0) <= (high[part] ?? 0));
}

/** For people: `bootloader 3, tee 0, snp 8, microcode 115`. */
export function tcbText(tcb: Partial<Tcb>): string {
  const parts = TCB_PARTS.filter((part) => tcb[part] !== undefined);
  return parts.map((part) => `${part} ${tcb[part]}`).join(', ');
}
