import type { SnpReport } from './abi.ts';

/** Product lines: each has its own root, TCB layout and CPU models. */
export type SnpProduct = 'milan' | 'genoa' | 'turin' | 'emulated';

/** TCB_VERSION layouts (AMD 57230): Turin put the FMC first and moved the parts. */
export type TcbLayout = 'milan' | 'turin';

interface ProductRow {
  /** SHA-256 of the DER of the root certificate (ARK); null where the policy names it. */
  readonly root: string | null;
  /** productName in endorsement certificates, before an optional stepping such as `-B0`. */
  readonly name: string;
  /** Suffix of the names of the authorities: `ARK-Milan`, `SEV-Milan`, `SEV-VLEK-Milan`. */
  readonly authority: string;
  readonly tcb: TcbLayout;
  /** structVersion of endorsement certificates. */
  readonly structVersion: number;
  /** Combined CPU family and ranges of models. */
  readonly family: number;
  readonly models: readonly (readonly [number, number])[];
}

export const PRODUCTS: Readonly<Record<SnpProduct, ProductRow>> = {
  milan: {
    root: '69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd',
    name: 'Milan',
    authority: 'Milan',
    tcb: 'milan',
    structVersion: 0,
    family: 0x19,
    models: [[0x00, 0x0f]],
  },
  // Bergamo and Siena (0xa0..0xaf) are endorsed under Genoa's root.
  genoa: {
    root: '4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1',
    name: 'Genoa',
    authority: 'Genoa',
    tcb: 'milan',
    structVersion: 0,
    family: 0x19,
    models: [
      [0x10, 0x1f],
      [0xa0, 0xaf],
    ],
  },
  turin: {
    root: '1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a',
    name: 'Turin',
    authority: 'Turin',
    tcb: 'turin',
    structVersion: 1,
    family: 0x1a,
    models: [[0x00, 0x1f]],
  },
  // An emulated report names no CPU: its family and model are zero, which no real one has.
  emulated: {
    root: null,
    name: 'Emulated',
    authority: 'EMULATED',
    tcb: 'milan',
    structVersion: 0,
    family: 0,
    models: [[0, 0]],
  },
};

/** Product whose pinned AMD root has this SHA-256 (hex). */
export function productOfRoot(sha256: string): SnpProduct | null {
  const names = Object.keys(PRODUCTS) as SnpProduct[];
  return names.find((name) => PRODUCTS[name].root === sha256) ?? null;
}

/** Whether the CPU fields of a report match a product; version 2 has none. */
export function cpuMatches(product: SnpProduct, cpuid: SnpReport['cpuid']): boolean {
  if (cpuid === null) return true;
  const { family, models } = PRODUCTS[product];
  return cpuid.family === family && models.some(([low, high]) => cpuid.model >= low && cpuid.model <= high);
}

/** Whether a certificate's productName (`Milan-B0`, `Genoa`) names a product. */
export function nameMatches(product: SnpProduct, productName: string): boolean {
  const { name } = PRODUCTS[product];
  return productName === name || productName.startsWith(`${name}-`);
}
