import { z } from 'zod';
import { EmulatedProtection } from './emulated/arguments.ts';
import { SevSnpProtection } from './sev-snp/arguments.ts';
import { TdxProtection } from './tdx/arguments.ts';

/** How the memory and state of a guest are protected: by the hardware named, or not at all. */
export const Protection = z.discriminatedUnion('kind', [EmulatedProtection, SevSnpProtection, TdxProtection]);
export type Protection = z.infer<typeof Protection>;
