import { randomBytes } from 'node:crypto';
import {
  closeSync,
  type Dirent,
  existsSync,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  statSync,
} from 'node:fs';
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
  const ascii = Buffer.from(text);
  return [
    ...[ascii, raw, Buffer.from([...text].reverse().join('')), Buffer.from(text.toUpperCase())],
    ...[
      Buffer.from(text, 'utf16le'),
      Buffer.from(text, 'utf16le').swap16(),
      Buffer.from(ascii.toString('hex')),
    ],
    ...base64Of(ascii),
    ...base64Of(raw),
  ];
}

/** base64 depends on where the bytes begin in the group of three; the inner part does not. */
function base64Of(bytes: Buffer): Buffer[] {
  return [0, 1, 2].flatMap((shift) =>
    (['base64', 'base64url'] as const).map((form) => {
      const encoded = Buffer.concat([Buffer.alloc(shift), bytes])
        .toString(form)
        .replace(/=+$/, '');
      return Buffer.from(encoded.slice(4, -4));
    }),
  );
}

/** Every form has at least 31 bytes, so one of these steps falls on its first 16 and sees a word of it. */
const STEP = 16;

/** Names of the canaries that are found in these bytes. */
export function findIn(bytes: Buffer, canaries: readonly Canary[]): string[] {
  // One pass for all forms: words that could begin a find, then the find itself.
  const places = new Map<number, { name: string; form: Buffer; offset: number }[]>();
  for (const canary of canaries) {
    for (const form of formsOf(canary)) {
      for (let offset = 0; offset < STEP; offset++) {
        const word = form.readUInt32LE(offset);
        places.set(word, [...(places.get(word) ?? []), { name: canary.name, form, offset }]);
      }
    }
  }
  const mayBe = new Uint8Array(2 ** 16);
  const slot = (word: number) => (word ^ (word >>> 16)) & 0xffff;
  for (const word of places.keys()) mayBe[slot(word)] = 1;
  const found = new Set<string>();
  for (let at = 0; at + 4 <= bytes.length; at += STEP) {
    const word = bytes.readUInt32LE(at);
    if (mayBe[slot(word)] === 0) continue;
    for (const { name, form, offset } of places.get(word) ?? []) {
      const start = at - offset;
      if (start >= 0 && form.equals(bytes.subarray(start, start + form.length))) found.add(name);
    }
  }
  return canaries.map(({ name }) => name).filter((name) => found.has(name));
}

/** `file: canary` for every find in the files at and below `folder`, however large. */
export function findInFiles(folder: string, canaries: readonly Canary[]): string[] {
  return filesBelow(folder).flatMap((file) => findInFile(file, canaries));
}

/** `file: canary` for every find; a file that is gone by now holds nothing. */
export function findInFile(file: string, canaries: readonly Canary[]): string[] {
  let opened: number;
  try {
    if (!statSync(file).isFile()) return [];
    opened = openSync(file, 'r');
  } catch {
    return [];
  }
  try {
    const found = new Set<string>();
    const { size } = fstatSync(opened);
    for (let at = 0; at < size; at += CHUNK - OVERLAP) {
      const bytes = Buffer.alloc(Math.min(CHUNK, size - at));
      const count = readRegion(opened, bytes, at);
      for (const canary of findIn(bytes.subarray(0, count), canaries)) found.add(`${file}: ${canary}`);
    }
    return [...found];
  } finally {
    closeSync(opened);
  }
}

/** Regular files at and below a folder. */
export function filesBelow(folder: string): string[] {
  let entries: Dirent[];
  try {
    entries = readdirSync(folder, { withFileTypes: true });
  } catch {
    return [];
  }
  return entries.flatMap((entry) => {
    const file = path.join(folder, entry.name);
    if (entry.isDirectory()) return filesBelow(file);
    return entry.isFile() ? [file] : [];
  });
}

/** Where programs of the host put what is only for a while. */
const TEMPORARY = ['/tmp', '/var/tmp', '/dev/shm', '/run'];
/** Larger files in the places of all programs are those of other programs. */
const ELSEWHERE_BYTES = 64 * 1024 * 1024;

/** `file: canary` for finds in what was made or changed in the places for temporary files since a time. */
export function findElsewhere(
  sinceMs: number,
  isOwn: (file: string) => boolean,
  canaries: readonly Canary[],
): string[] {
  const made = TEMPORARY.flatMap((folder) =>
    existsSync(folder) ? readdirSync(folder).map((name) => path.join(folder, name)) : [],
  ).filter((file) => (statSync(file, { throwIfNoEntry: false })?.ctimeMs ?? 0) >= sinceMs && !isOwn(file));
  return made
    .flatMap((file) =>
      statSync(file, { throwIfNoEntry: false })?.isDirectory() === true ? filesBelow(file) : [file],
    )
    .filter((file) => (statSync(file, { throwIfNoEntry: false })?.size ?? 0) <= ELSEWHERE_BYTES)
    .flatMap((file) => findInFile(file, canaries));
}

/** `file: canary` for finds in the files that processes hold open, those that have no name any more among them. */
export function findInOpenFiles(pids: readonly number[], canaries: readonly Canary[]): string[] {
  return pids.flatMap((pid) =>
    readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      const link = `/proc/${pid}/fd/${fd}`;
      const target = readlinkSync(link);
      // A memfd is memory: that of the guest, which the vsock daemon shares.
      if (!target.startsWith('/') || target.startsWith('/memfd:') || !statSync(link).isFile()) return [];
      return findInFile(link, canaries).map((found) => `${target} of process ${found}`);
    }),
  );
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
