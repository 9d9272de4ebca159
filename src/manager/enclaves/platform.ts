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

  processor(): Promise<SecurityProcessor> {
    this.emulated ??= this.loadRoot().then((root) =>
      createSecurityProcessor({ root, chipId: randomBytes(CHIP_ID_BYTES), now: systemClock.wall() }),
    );
    return this.emulated;
  }

  async describeRoot(): Promise<{ pem: string; digest: string }> {
    const root = await this.loadRoot();
    return { pem: exportDevelopmentRoot(root).ark.certificate, digest: developmentRootDigest(root) };
  }

  private loadRoot(): Promise<DevelopmentRoot> {
    this.root ??= this.readOrCreateRoot();
    return this.root;
  }

  private async readOrCreateRoot(): Promise<DevelopmentRoot> {
    const file = path.join(this.stateDir, 'emulated-root.json');
    const text = await readFile(file, 'utf8').catch(() => null);
    if (text !== null) return importDevelopmentRoot(JSON.parse(text));
    const root = await createDevelopmentRoot({ now: systemClock.wall() });
    await mkdir(this.stateDir, { recursive: true, mode: 0o700 });
    await writeFile(`${file}.new`, JSON.stringify(exportDevelopmentRoot(root)), { mode: 0o600 });
    await rename(`${file}.new`, file);
    return root;
  }
}
