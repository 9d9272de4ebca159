import { randomBytes } from 'node:crypto';
import { closeSync, openSync, readdirSync, readFileSync, readSync, statSync } from 'node:fs';
import path from 'node:path';

/** Secrets planted in inputs, and the search for them where the host can look. */

export interface Canary {
  readonly name: string;
  /** 64 hex digits, at home in any text file. */
  readonly text: string;
}

export function makeCanary(name: string): Canary {
  return { name, text: randomBytes(32).toString('hex') };
}

/** The same secret as its reader might have kept it. */
function formsOf({ text }: Canary): Buffer[] {
  const raw = Buffer.from(text, 'hex');
  // base64 of a text depends on where it begins in the group of three; the inner part does not.
  const encoded = [0, 1, 2].map((shift) => {
    const padded = Buffer.concat([Buffer.alloc(shift), Buffer.from(text)]).toString('base64');
    return Buffer.from(padded.slice(4, -4));
  });
  return [Buffer.from(text), raw, Buffer.from([...text].reverse().join('')), ...encoded];
}

/** Names of the canaries that are found in these bytes. */
export function findIn(bytes: Buffer, canaries: readonly Canary[]): string[] {
  return canaries
    .filter((canary) => formsOf(canary).some((form) => bytes.includes(form)))
    .map(({ name }) => name);
}

/** `file: canary` for every find in the files at and below `folder`. */
export function findInFiles(folder: string, canaries: readonly Canary[]): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).flatMap((name) => {
    const file = path.join(folder, name);
    if (!statSync(file).isFile()) return [];
    return findIn(readFileSync(file), canaries).map((canary) => `${file}: ${canary}`);
  });
}

const CHUNK = 16 * 1024 * 1024;
const OVERLAP = 256;

/** `region: canary` for every find in the memory of a process. Needs root. */
export function findInMemory(pid: number, canaries: readonly Canary[]): string[] {
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  const found: string[] = [];
  let readBytes = 0;
  try {
    for (const line of readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
      const [, first, last, rights] = /^([0-9a-f]+)-([0-9a-f]+) (\S+)/.exec(line) ?? [];
      if (first === undefined || last === undefined || !rights?.startsWith('r')) continue;
      const end = Number.parseInt(last, 16);
      for (let at = Number.parseInt(first, 16); at < end; at += CHUNK - OVERLAP) {
        const bytes = Buffer.alloc(Math.min(CHUNK, end - at));
        const count = readRegion(memory, bytes, at);
        readBytes += count;
        for (const canary of findIn(bytes.subarray(0, count), canaries))
          found.push(`${first}-${last}: ${canary}`);
      }
    }
  } finally {
    closeSync(memory);
  }
  if (readBytes === 0) throw new Error(`nothing of the memory of process ${pid} could be read`);
  return found;
}

/** Some regions, such as those of devices, cannot be read. */
function readRegion(memory: number, bytes: Buffer, position: number): number {
  try {
    return readSync(memory, bytes, 0, bytes.length, position);
  } catch {
    return 0;
  }
}
