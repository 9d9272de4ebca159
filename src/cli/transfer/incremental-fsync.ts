import type { FileHandle } from 'node:fs/promises';

/** Bytes between two syncs. */
const PORTION_BYTES = 64 * 1024 * 1024;

/**
 * Syncs a file while it is written, so that the final sync has little left to do.
 */
export class IncrementalFsync {
  private readonly file: FileHandle;
  private gathered = 0;
  private running: Promise<void> | null = null;

  constructor(file: FileHandle) {
    this.file = file;
  }

  /** Reports written bytes. */
  wrote(bytes: number): void {
    this.gathered += bytes;
    if (this.gathered < PORTION_BYTES || this.running !== null) return;
    this.gathered = 0;
    this.running = this.file.datasync();
    this.running.then(
      () => {
        this.running = null;
      },
      // `finish` reports it: a failed fsync is final.
      () => undefined,
    );
  }

  /** Resolves when the complete file is on the disk. @throws the error of this or an earlier sync */
  async finish(): Promise<void> {
    await this.running;
    await this.file.sync();
  }
}
