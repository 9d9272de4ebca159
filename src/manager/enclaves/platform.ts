import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createSecurityProcessor, type SecurityProcessor } from '../../attestation/emulated/processor.ts';
import {
  createDevelopmentRoot,
  type DevelopmentRoot,
  developmentRootDigest,
  exportDevelopmentRoot,
  importDevelopmentRoot,
} from '../../attestation/emulated/root.ts';
import { CocosError } from '../../errors.ts';
import { systemClock } from '../../runtime/clock.ts';

const CHIP_ID_BYTES = 64;

/**
 * The emulated platform of a host without TEE hardware: a development root made once on this host, and a
 * security processor that reports under it. It proves nothing about the host, and everything it signs says so.
 */
export class Platform {
  private readonly stateDir: string;
  private root: Promise<DevelopmentRoot> | null = null;
  private emulated: Promise<SecurityProcessor> | null = null;

  constructor(stateDir: string) {
    this.stateDir = stateDir;
  }

  /** @throws CocosError SNAPSHOT_INVALID, or what the disk answers; the next call tries again */
  processor(): Promise<SecurityProcessor> {
    this.emulated ??= this.loadRoot()
      .then((root) =>
        createSecurityProcessor({ root, chipId: randomBytes(CHIP_ID_BYTES), now: systemClock.wall() }),
      )
      .catch((thrown: unknown) => {
        this.emulated = null;
        throw thrown;
      });
    return this.emulated;
  }

  async describeRoot(): Promise<{ pem: string; digest: string }> {
    const root = await this.loadRoot();
    return { pem: exportDevelopmentRoot(root).ark.certificate, digest: developmentRootDigest(root) };
  }

  private loadRoot(): Promise<DevelopmentRoot> {
    this.root ??= this.readOrCreateRoot().catch((thrown: unknown) => {
      this.root = null;
      throw thrown;
    });
    return this.root;
  }

  private async readOrCreateRoot(): Promise<DevelopmentRoot> {
    const file = path.join(this.stateDir, 'emulated-root.json');
    const text = await readIfExists(file);
    if (text !== null) return parseRoot(file, text);
    const root = await createDevelopmentRoot({ now: systemClock.wall() });
    await mkdir(this.stateDir, { recursive: true, mode: 0o700 });
    await writeFile(`${file}.new`, JSON.stringify(exportDevelopmentRoot(root)), { mode: 0o600 });
    await rename(`${file}.new`, file);
    return root;
  }
}

/** Null for no file. Any other failure must not end in a new root, which would take the place of the old one. */
async function readIfExists(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return null;
    throw new CocosError(
      'SNAPSHOT_INVALID',
      `The root of the emulated platform, ${file}, cannot be read: check the file and its permissions.`,
      { cause },
    );
  }
}

function parseRoot(file: string, text: string): DevelopmentRoot {
  try {
    return importDevelopmentRoot(JSON.parse(text));
  } catch (cause) {
    throw new CocosError(
      'SNAPSHOT_INVALID',
      `The root of the emulated platform, ${file}, is damaged: restore the file, or remove it to make a new root.`,
      { cause },
    );
  }
}
