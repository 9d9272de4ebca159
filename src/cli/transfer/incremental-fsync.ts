import type { FileHandle } from 'node:fs/promises';

/** Bytes that gather before the disk is told to take them. */
const PORTION_BYTES = 64 * 1024 * 1024;

/**
 * Lets the disk take what was written while more comes: a file that is synced only at its end keeps everybody waiting
 * for all of it.
 */
export class IncrementalFsync {
  private readonly file: FileHandle;
  private gathered = 0;
  private running: Promise<void> | null = null;

  constructor(file: FileHandle) {
    this.file = file;
  }

  /** As many bytes more were written. */
  wrote(bytes: number): void {
    this.gathered += bytes;
    if (this.gathered < PORTION_BYTES || this.running !== null) return;
    this.gathered = 0;
    this.running = this.file.datasync();
    this.running.then(
      () => {
        this.running = null;
      },
      // Told by `finish`: what the disk did not take once it will not have.
      () => undefined,
    );
  }

  /** Resolves when all of the file is on the disk. @throws the disk's error, also of an earlier portion */
  async finish(): Promise<void> {
    await this.running;
    await this.file.sync();
  }
}
