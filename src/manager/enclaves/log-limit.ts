import { open } from 'node:fs/promises';

/** How often a log that nothing else watches is measured. */
const POLL_MS = 1_000;

/**
 * Keeps a log that a guest or a host program appends to within a limit: its beginning and its end stay, and a note
 * between them says how much was cut. What is appended in the moment of a cut may be lost.
 */
export class LogLimit {
  private readonly file: string;
  private readonly bytes: number;
  private cut = 0;
  private noteBytes = 0;

  constructor(file: string, bytes: number) {
    this.file = file;
    this.bytes = bytes;
  }

  /** Cuts the log if it is too long. @returns its size after a cut; null for none. */
  async enforce(): Promise<number | null> {
    const handle = await open(this.file, 'r+').catch(() => null);
    if (handle === null) return null;
    try {
      const { size } = await handle.stat();
      if (size <= this.bytes) return null;
      const quarter = Math.floor(this.bytes / 4);
      const tail = Buffer.alloc(quarter);
      const { bytesRead } = await handle.read(tail, 0, quarter, size - quarter);
      this.cut += size - 2 * quarter - this.noteBytes;
      const note = `\n[cocos-manager cut ${this.cut} bytes here: the log had reached ${this.bytes} bytes (COCOSAI_LOG_KIB)]\n`;
      this.noteBytes = Buffer.byteLength(note);
      await handle.truncate(quarter);
      const kept = Buffer.concat([Buffer.from(note), tail.subarray(0, bytesRead)]);
      const appender = await open(this.file, 'a');
      try {
        await appender.appendFile(kept);
      } finally {
        await appender.close();
      }
      return quarter + kept.length;
    } finally {
      await handle.close();
    }
  }
}

/** Enforces the limit until the returned function is called. A disk that fails now is tried again. */
export function limitLog(file: string, bytes: number): () => void {
  const limit = new LogLimit(file, bytes);
  const timer = setInterval(() => void limit.enforce().catch(() => undefined), POLL_MS).unref();
  return () => clearInterval(timer);
}
