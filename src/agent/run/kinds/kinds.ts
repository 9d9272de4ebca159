import type { z } from 'zod';
import type { AlgorithmKind } from '../../../machines/manifest.ts';
import { prepareBinary } from './binary.ts';
import type { PrepareKind } from './kind.ts';
import { preparePython } from './python.ts';
import { prepareWasm } from './wasm.ts';

/** Every kind that a manifest may name has a row. */
export const KINDS: Readonly<Record<z.infer<typeof AlgorithmKind>, PrepareKind>> = {
  binary: prepareBinary,
  python: preparePython,
  wasm: prepareWasm,
};
