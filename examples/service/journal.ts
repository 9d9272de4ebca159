import { createReadStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { z } from 'zod';

/**
 * Everything that the service knows, as one JSON object on each line of a file. A line that was cut off when the
 * service died was never acknowledged and is taken out when the file is opened again.
 */

const id = { computationId: z.string() };

export const Entry = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('defined'),
    ...id,
    manifestJson: z.string(),
    wishes: z.strictObject({
      name: z.string(),
      mode: z.string(),
      platform: z.string().default(''),
      vcpus: z.int(),
      memoryMib: z.int(),
    }),
  }),
  /** From here on no other manager may be asked, or the computation could run twice. */
  z.strictObject({ kind: z.literal('assigned'), ...id, managerId: z.string() }),
  z.strictObject({
    kind: z.literal('answered'),
    ...id,
    enclaveId: z.string().nullable(),
    refusal: z.string().nullable(),
  }),
  z.strictObject({ kind: z.literal('stopWanted'), ...id }),
  z.strictObject({ kind: z.literal('stopAnswered'), ...id, refusal: z.string().nullable() }),
  z.strictObject({
    kind: z.literal('event'),
    ...id,
    outboxId: z.string(),
    sequence: z.int(),
    atMs: z.int(),
    address: z.string(),
    event: z.string(),
    fromState: z.string(),
    toState: z.string(),
    contextJson: z.string(),
  }),
]);
export type Entry = z.infer<typeof Entry>;

export class Journal {
  private readonly file: FileHandle;
  private lines: string[] = [];
  private tail: Promise<void> = Promise.resolve();

  private constructor(file: FileHandle) {
    this.file = file;
  }

  /** Opens or makes the file and gives its entries to `take`, in order. */
  static async open(path: string, take: (entry: Entry) => void): Promise<Journal> {
    const file = await open(path, 'a+', 0o600);
    const whole = await endOfLastLine(path);
    await file.truncate(whole);
    if (whole > 0) {
      for await (const line of createInterface({ input: createReadStream(path), crlfDelay: Infinity })) {
        take(Entry.parse(JSON.parse(line)));
      }
    }
    return new Journal(file);
  }

  /** Puts an entry at the end; it is stored when the next `sync` resolves. */
  append(entry: Entry): void {
    this.lines.push(`${JSON.stringify(entry)}\n`);
  }

  /** Resolves when all that was appended is on the disk. Entries that come together share one write. */
  sync(): Promise<void> {
    this.tail = this.tail.then(async () => {
      const { lines } = this;
      if (lines.length === 0) return;
      this.lines = [];
      await this.file.appendFile(lines.join(''));
      await this.file.datasync();
    });
    return this.tail;
  }

  /** Nothing is stored afterwards: `sync` rejects if anything was appended since. */
  async close(): Promise<void> {
    await this.sync();
    await this.file.close();
  }
}

/** Bytes up to and including the last line feed. */
async function endOfLastLine(path: string): Promise<number> {
  let seen = 0;
  let end = 0;
  for await (const chunk of createReadStream(path)) {
    if (!Buffer.isBuffer(chunk)) continue;
    const feed = chunk.lastIndexOf(0x0a);
    if (feed >= 0) end = seen + feed + 1;
    seen += chunk.length;
  }
  return end;
}
