import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CocosError } from '../../errors.ts';

/** Hardware reports through the kernel's common interface (Linux Documentation/ABI/testing/configfs-tsm-report). */

/** The folder of report entries. Creating an entry makes its attributes appear. */
export interface TsmFiles {
  make(entry: string): Promise<void>;
  remove(entry: string): Promise<void>;
  read(entry: string, attribute: string): Promise<Uint8Array>;
  write(entry: string, attribute: string, value: Uint8Array | string): Promise<void>;
}

const FOLDER = '/sys/kernel/config/tsm/report';

export const configfs: TsmFiles = {
  make: async (entry) => {
    await mkdir(path.join(FOLDER, entry));
  },
  remove: (entry) => rmdir(path.join(FOLDER, entry)),
  read: async (entry, attribute) => new Uint8Array(await readFile(path.join(FOLDER, entry, attribute))),
  write: (entry, attribute, value) => writeFile(path.join(FOLDER, entry, attribute), value),
};

/** Providers whose reports the agent supports. */
const PROVIDERS = { sev_guest: 'snp', tdx_guest: 'tdx' } as const;
export type TsmPlatform = (typeof PROVIDERS)[keyof typeof PROVIDERS];

/** Options of a report request. */
export interface TsmOptions {
  /** Privilege level of the request (VMPL, SNP only); the kernel chooses by default. */
  readonly privilege?: number | undefined;
  /** A service of the SVSM that attests instead of the guest, such as its vTPM. */
  readonly service?:
    | { readonly provider: string; readonly guid?: string; readonly manifestVersion?: number }
    | undefined;
}

export interface TsmReport {
  /** SNP report or TDX quote. */
  readonly report: Uint8Array;
  /** Certificate table of SNP; empty if there is none. */
  readonly auxiliary: Uint8Array;
  /** Manifest of the attesting service; empty without one. */
  readonly manifest: Uint8Array;
}

const ATTEMPTS = 4;
const PAUSE_MS = 200;
/** The host throttles its answers, or the call was interrupted: the request must be repeated. */
const TRANSIENT: readonly string[] = ['EBUSY', 'EINTR', 'EIO', 'EAGAIN'];

const codeOf = (thrown: unknown): unknown =>
  thrown instanceof Error && 'code' in thrown ? thrown.code : undefined;

const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes).trim();

/** The platform whose driver is loaded; null if an entry cannot be created (ENXIO, no configfs) or the driver is unknown. */
export async function tsmPlatform(files: TsmFiles = configfs): Promise<TsmPlatform | null> {
  const entry = `probe-${randomUUID()}`;
  try {
    await files.make(entry);
  } catch {
    return null;
  }
  try {
    const provider = textOf(await files.read(entry, 'provider'));
    return provider === 'sev_guest' || provider === 'tdx_guest' ? PROVIDERS[provider] : null;
  } finally {
    await files.remove(entry);
  }
}

/** Reads an attribute that a provider or an older kernel may lack. */
async function optional(files: TsmFiles, entry: string, attribute: string): Promise<Uint8Array> {
  try {
    return await files.read(entry, attribute);
  } catch (thrown) {
    if (codeOf(thrown) === 'ENOENT') return new Uint8Array();
    throw thrown;
  }
}

function writesOf(
  reportData: Uint8Array,
  { privilege, service }: TsmOptions,
): [string, Uint8Array | string][] {
  const writes: [string, Uint8Array | string][] = [['inblob', reportData]];
  if (privilege !== undefined) writes.push(['privlevel', String(privilege)]);
  if (service === undefined) return writes;
  writes.push(['service_provider', service.provider]);
  if (service.guid !== undefined) writes.push(['service_guid', service.guid]);
  if (service.manifestVersion !== undefined)
    writes.push(['service_manifest_version', String(service.manifestVersion)]);
  return writes;
}

async function readOnce(files: TsmFiles, reportData: Uint8Array, options: TsmOptions): Promise<TsmReport> {
  const entry = `cocos-${randomUUID()}`;
  await files.make(entry);
  try {
    const generation = async () => Number(textOf(await files.read(entry, 'generation')));
    if (options.privilege !== undefined) {
      const floor = Number(textOf(await files.read(entry, 'privlevel_floor')));
      if (options.privilege < floor)
        throw new Error(`privilege level ${options.privilege} is below ${floor}`);
    }
    const before = await generation();
    const writes = writesOf(reportData, options);
    for (const [attribute, value] of writes) await files.write(entry, attribute, value);
    const report = await files.read(entry, 'outblob');
    const auxiliary = await optional(files, entry, 'auxblob');
    const manifest =
      options.service === undefined ? new Uint8Array() : await files.read(entry, 'manifestblob');
    // Each of our writes adds one to the generation: another number means that somebody else changed the request.
    if ((await generation()) !== before + writes.length)
      throw new Error('another writer changed the report request');
    return { report, auxiliary, manifest };
  } finally {
    await files.remove(entry).catch(() => undefined);
  }
}

/**
 * Requests one report.
 *
 * @param reportData 64 bytes that the report binds.
 * @throws CocosError EVIDENCE_UNAVAILABLE
 */
export async function readTsm(
  reportData: Uint8Array,
  options: TsmOptions = {},
  files: TsmFiles = configfs,
): Promise<TsmReport> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await readOnce(files, reportData, options);
    } catch (cause) {
      if (attempt === ATTEMPTS || !TRANSIENT.some((code) => code === codeOf(cause)))
        throw new CocosError('EVIDENCE_UNAVAILABLE', 'The platform did not produce a report; try again.', {
          cause,
        });
      await sleep(PAUSE_MS * attempt);
    }
  }
}
