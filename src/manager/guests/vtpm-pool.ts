import { access, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { manufactureVtpm } from './vm/swtpm.ts';

/** Making another waits until the guest that took the last one has probably booted. */
const RESTOCK_MS = 60_000;
/** Lies in a spare that is whole. */
const WHOLE = 'whole';

/** Makes the vTPMs of new enclaves, and keeps one that is made already: making one takes most of a second. */
export class VtpmPool {
  private readonly stateDir: string;
  private making: Promise<void> | null = null;
  private timer: NodeJS.Timeout | null = null;
  private isClosed = false;

  constructor(stateDir: string) {
    this.stateDir = stateDir;
  }

  /** Makes the spare in the background if there is none. What fails is made, or fails, when it is needed. */
  prepare(): void {
    if (this.isClosed) return;
    this.making ??= this.makeSpare().catch(() => undefined);
  }

  /**
   * Puts a vTPM that nobody had before into a folder that does not exist.
   *
   * @param logPath takes what the makers print
   * @throws CocosError HOST_TPM_MISSING, VM_LAUNCH_FAILED
   */
  async take(folder: string, logPath: string): Promise<void> {
    await this.making;
    const whole = path.join(this.spare, WHOLE);
    try {
      await rm(whole);
      await rename(this.spare, folder);
    } catch {
      await manufactureVtpm({ folder, authority: this.authority, logPath });
    }
    this.making = null;
    this.timer ??= setTimeout(() => {
      this.timer = null;
      this.prepare();
    }, RESTOCK_MS).unref();
  }

  /** Waits for what is being made, and makes nothing more. */
  async close(): Promise<void> {
    this.isClosed = true;
    if (this.timer !== null) clearTimeout(this.timer);
    await this.making;
  }

  private get spare(): string {
    return path.join(this.stateDir, 'vtpm-spare');
  }

  private get authority(): string {
    return path.join(this.stateDir, 'vtpm-authority');
  }

  private async makeSpare(): Promise<void> {
    const isWhole = await access(path.join(this.spare, WHOLE)).then(
      () => true,
      () => false,
    );
    if (isWhole) return;
    await rm(this.spare, { recursive: true, force: true });
    const logPath = path.join(this.stateDir, 'vtpm.log');
    await manufactureVtpm({ folder: this.spare, authority: this.authority, logPath });
    await writeFile(path.join(this.spare, WHOLE), '', { mode: 0o600 });
  }
}
