import { randomBytes } from 'node:crypto';
import { canonicalDigest } from '../../crypto/digest.ts';
import { CocosError } from '../../errors.ts';
import { EnclaveInput, type EnclaveMode } from '../../machines/enclave.events.ts';
import { Manifest } from '../../machines/manifest.ts';
import { systemClock } from '../../runtime/clock.ts';

const DEFAULT_VCPUS = 2;
const DEFAULT_MEMORY_MIB = 768;

/** Wishes of a client; empty text and 0 take the defaults. */
export interface EnclaveRequest {
  readonly name: string;
  readonly mode: string;
  readonly vcpus: number;
  readonly memoryMiB: number;
  readonly manifestJson: string;
}

/** What a client wishes, with an id and the defaults. @throws CocosError INPUT_INVALID, MANIFEST_INVALID */
export function readEnclaveRequest(request: EnclaveRequest, mode: EnclaveMode): EnclaveInput {
  const manifest = request.manifestJson === '' ? null : parseManifest(request.manifestJson);
  const id = randomBytes(4).toString('hex');
  const input = EnclaveInput.safeParse({
    id,
    name: request.name === '' ? `enclave-${id}` : request.name,
    mode: request.mode === '' ? mode : request.mode,
    vcpus: request.vcpus === 0 ? DEFAULT_VCPUS : request.vcpus,
    memoryMiB: request.memoryMiB === 0 ? DEFAULT_MEMORY_MIB : request.memoryMiB,
    imageDir: null,
    manifest,
    manifestDigest: manifest === null ? null : canonicalDigest(manifest),
    atMs: systemClock.monotonic(),
  });
  if (input.success) return input.data;
  const [issue] = input.error.issues;
  throw new CocosError('INPUT_INVALID', `${issue?.path.join('.')}: ${issue?.message}`);
}

function parseManifest(text: string): Manifest {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new CocosError('MANIFEST_INVALID', 'The manifest is not JSON.', { cause });
  }
  const parsed = Manifest.safeParse(json);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new CocosError(
    'MANIFEST_INVALID',
    `The manifest is malformed: ${issue?.path.join('.')}: ${issue?.message}`,
  );
}
