import { inspectEvidence } from '../../../attestation/evidence/inspect.ts';
import { attestationCrypto as crypto } from '../../../crypto/attestation-crypto.ts';
import type { CommandContext } from '../../command-context.ts';
import { inFile, readEvidence } from '../../trust/evidence-files.ts';

const MAX_SHOWN = 160;

export async function run({ output }: CommandContext, _options: unknown, file: string): Promise<void> {
  const bytes = await readEvidence(file);
  const inspected = inFile(file, () => inspectEvidence(bytes, crypto));
  output.result(lines(inspected, ''), inspected);
}

/** Nested data as indented lines. */
function lines(value: unknown, indent: string): string[] {
  if (Array.isArray(value)) {
    return value.flatMap((item: unknown, index) => entry(String(index + 1), item, indent));
  }
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value).flatMap(([name, item]) => entry(name, item, indent));
  }
  return [`${indent}${shown(value)}`];
}

function entry(name: string, value: unknown, indent: string): string[] {
  if (typeof value !== 'object' || value === null) return [`${indent}${name}: ${shown(value)}`];
  return [`${indent}${name}:`, ...lines(value, `${indent}  `)];
}

function shown(value: unknown): string {
  const text = String(value);
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
}
