import { instantMs } from '../x509/time.ts';
import type { SnpProduct } from './products.ts';
import { TCB_PARTS, type Tcb, tcbText } from './tcb.ts';

/**
 * The minimum TCB that is required of hardware unless a policy names another: for each product line, the highest level that
 * a published bulletin of AMD demands for SEV-SNP, with the date of that bulletin. Read on 2026-12-01 from public
 * discussions that quote the bulletins, which were not at hand themselves.
 *
 * Only the SNP firmware has a level here. Security versions of the microcode are counted for each stepping (Milan B1 and B2,
 * Genoa and Genoa-X): one number for a product line would refuse updated machines or accept old ones.
 *
 * - AMD-SB-3030 (2026-05-12, CVE-2025-61971): Milan 0x1D.
 * - AMD-SB-3016 (2026-04-14, CVE-2023-20585): Milan and Genoa 0x1B, as AMD-SB-3020 (2025-10-13, CVE-2025-0033) for Genoa.
 *   AMD-SB-3034 named 0x1C for Genoa and withdrew the value on 2026-09-24.
 * - AMD-SB-3020: Turin 0x04.
 */
export const SHIPPED_MINIMUM = {
  milan: { levels: { snp: 0x1d }, bulletin: 'AMD-SB-3030', date: '2026-05-12' },
  genoa: { levels: { snp: 0x1b }, bulletin: 'AMD-SB-3016', date: '2026-04-14' },
  turin: { levels: { snp: 0x04 }, bulletin: 'AMD-SB-3020', date: '2025-10-13' },
} as const satisfies Partial<
  Record<SnpProduct, { readonly levels: Partial<Tcb>; readonly bulletin: string; readonly date: string }>
>;

/** Levels that a policy demands. */
type Levels = { readonly [Part in keyof Tcb]?: number | undefined };

const DAY_MS = 86_400_000;

/**
 * How a minimum compares with the shipped one, for people; null for a product line without.
 *
 * @param at time of appraisal, milliseconds since 1970
 */
export function shippedMinimumNote(product: SnpProduct, minimum: Levels, at: number): string | null {
  if (product === 'emulated') return null;
  const { levels, bulletin, date } = SHIPPED_MINIMUM[product];
  const shipped: Levels = levels;
  const days = Math.max(0, Math.floor((at - instantMs(`${date}T00:00:00Z`)) / DAY_MS));
  const source = `${bulletin} of ${date}, ${days} days old`;
  const lower = TCB_PARTS.some((part) => (minimum[part] ?? 0) < (shipped[part] ?? 0));
  if (lower) return `your policy waives the shipped minimum, ${tcbText(levels)}: ${source}`;
  const same = TCB_PARTS.every((part) => minimum[part] === shipped[part]);
  return same ? `the shipped minimum: ${source}` : `above the shipped minimum: ${source}`;
}
