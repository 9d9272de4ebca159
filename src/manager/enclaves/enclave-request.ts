import { randomBytes } from 'node:crypto';
import { canonicalDigest } from '../../crypto/digest.ts';
import { CocosError } from '../../errors.ts';
import { EnclaveInput, TeePlatform } from '../../machines/enclave.events.ts';
import { Manifest } from '../../machines/manifest.ts';
import { systemClock } from '../../runtime/clock.ts';
import { schemaProblems } from '../../schema-problems.ts';
import type { ManagerConfig } from '../config.ts';

const DEFAULT_VCPUS = 2;
const DEFAULT_MEMORY_MIB = 768;

/** A client's request; empty text and 0 stand for the defaults. */
export interface EnclaveRequest {
  readonly name: string;
  readonly mode: string;
  readonly platform: string;
  readonly vcpus: number;
  readonly memoryMiB: number;
  readonly manifestJson: string;
}

type EnclaveSettings = Pick<ManagerConfig, 'mode' | 'vcpuLimit' | 'memoryLimitMiB'>;

/**
 * The request of a client with an id and the defaults.
 *
 * @throws CocosError INPUT_INVALID, MANIFEST_INVALID; LIMIT_EXCEEDED when it asks for more than the settings allow
 */
export function readEnclaveRequest(
  request: EnclaveRequest,
  platform: TeePlatform,
  settings: EnclaveSettings,
): EnclaveInput {
  checkRequest(request, settings);
  const manifest = request.manifestJson === '' ? null : parseManifest(request.manifestJson);
  const id = randomBytes(4).toString('hex');
  const wanted = {
    id,
    name: request.name === '' ? `enclave-${id}` : request.name,
    mode: settings.mode,
    platform,
    vcpus: request.vcpus === 0 ? Math.min(DEFAULT_VCPUS, settings.vcpuLimit) : request.vcpus,
    memoryMiB:
      request.memoryMiB === 0 ? Math.min(DEFAULT_MEMORY_MIB, settings.memoryLimitMiB) : request.memoryMiB,
    imageDir: null,
    manifest,
    manifestDigest: manifest === null ? null : canonicalDigest(manifest),
    atMs: systemClock.monotonic(),
  };
  const input = EnclaveInput.safeParse(wanted);
  if (input.success) return input.data;
  const problems = schemaProblems(input.error, wanted).join('; ');
  throw new CocosError('INPUT_INVALID', `The enclave cannot be created as requested: ${problems}.`);
}

/**
 * The platform that a request names, or the manager's default.
 *
 * @throws CocosError INPUT_INVALID for one that does not exist
 */
export function requestedPlatform(
  { platform }: EnclaveRequest,
  { tee }: Pick<ManagerConfig, 'tee'>,
): TeePlatform | 'auto' {
  if (platform === '') return tee;
  const known = TeePlatform.safeParse(platform);
  if (known.success) return known.data;
  throw new CocosError(
    'INPUT_INVALID',
    `There is no platform '${platform}': expected ${TeePlatform.options.join(', ')}.`,
  );
}

/** A client may not weaken the isolation that the operator chose, nor take more of the host than it grants. */
function checkRequest(request: EnclaveRequest, { mode, vcpuLimit, memoryLimitMiB }: EnclaveSettings): void {
  if (request.mode !== '' && request.mode !== mode) {
    throw new CocosError(
      'INPUT_INVALID',
      `This manager starts no enclaves in the mode '${request.mode}': leave the mode out, or use a manager with COCOSAI_MODE=${request.mode}. Its own mode is '${mode}'.`,
    );
  }
  if (request.vcpus > vcpuLimit) {
    throw new CocosError(
      'LIMIT_EXCEEDED',
      `An enclave of this manager has at most ${vcpuLimit} vCPUs (COCOSAI_MAX_VCPUS), but ${request.vcpus} were requested.`,
    );
  }
  if (request.memoryMiB > memoryLimitMiB) {
    throw new CocosError(
      'LIMIT_EXCEEDED',
      `An enclave of this manager has at most ${memoryLimitMiB} MiB of memory (COCOSAI_MAX_MEMORY_MIB), but ${request.memoryMiB} were requested.`,
    );
  }
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
  const problems = schemaProblems(parsed.error, json).join('; ');
  throw new CocosError('MANIFEST_INVALID', `The manifest is invalid at ${problems}.`);
}
