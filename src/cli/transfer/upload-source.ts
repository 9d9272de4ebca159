import { open, stat } from 'node:fs/promises';
import { packDirectory } from '../../archive/pack.ts';
import { createDigest, type DigestName } from '../../crypto/digest.ts';
import { CocosError } from '../../errors.ts';
import { digestFile, unreadable } from '../files.ts';

/** Files up to this size are hashed before the upload, larger ones during the upload. */
const HASH_FIRST_BYTES = 64 * 1024 * 1024;

/** The bytes of an input, read in order from any position. */
export interface UploadSource {
  readonly size: number;
  /** Of the complete content, if it is known before the upload. */
  readonly digest: string | undefined;
  /** Size of the content if the source yields its gzip. */
  readonly inflatedSize?: number;
  open(fromByte: number): Promise<SourceReader>;
}

export interface SourceReader {
  /** Fills `into` with the next bytes. @throws CocosError FILE_UNREADABLE if the content has changed */
  fill(into: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/** A file, or a folder as a deterministic tar. @throws CocosError FILE_NOT_FOUND, FILE_UNREADABLE, ARCHIVE_UNSAFE */
export async function uploadSource(path: string, name: DigestName = 'sha256'): Promise<UploadSource> {
  const info = await stat(path).catch(() => null);
  if (info?.isDirectory()) return treeSource(path, name);
  if (info?.isFile() && info.size > HASH_FIRST_BYTES) return fileSource(path, info.size, undefined);
  const { size, digest } = await digestFile(path, name);
  return fileSource(path, size, digest);
}

function fileSource(path: string, size: number, digest: string | undefined): UploadSource {
  return {
    size,
    digest,
    open: async (fromByte) => {
      const file = await open(path, 'r').catch((cause: unknown) => {
        throw unreadable(path, cause);
      });
      let position = fromByte;
      return {
        fill: async (into) => {
          for (let at = 0; at < into.length; ) {
            const { bytesRead } = await file.read(into, at, into.length - at, position);
            if (bytesRead === 0) throw changed(path);
            at += bytesRead;
            position += bytesRead;
          }
        },
        close: () => file.close(),
      };
    },
  };
}

/** Packs the folder once for size and digest, and again for each upload: the same tree yields the same bytes. */
async function treeSource(path: string, name: DigestName): Promise<UploadSource> {
  const digest = createDigest(name);
  for await (const chunk of packDirectory(path)) digest.update(chunk);
  const { size } = digest;
  return {
    size,
    digest: digest.finish(),
    open: async (fromByte) => {
      const chunks = packDirectory(path);
      let rest: Uint8Array = new Uint8Array(0);
      const advance = async () => {
        const next = await chunks.next();
        if (next.done === true) throw changed(path);
        rest = next.value;
      };
      let skip = fromByte;
      while (skip > 0) {
        await advance();
        const drop = Math.min(skip, rest.length);
        rest = rest.subarray(drop);
        skip -= drop;
      }
      return {
        fill: async (into) => {
          for (let at = 0; at < into.length; ) {
            if (rest.length === 0) await advance();
            const take = Math.min(rest.length, into.length - at);
            into.set(rest.subarray(0, take), at);
            rest = rest.subarray(take);
            at += take;
          }
        },
        close: async () => void (await chunks.return()),
      };
    },
  };
}

function changed(path: string): CocosError {
  return new CocosError(
    'FILE_UNREADABLE',
    `${path} changed during the upload. Try again when no other program writes to it.`,
  );
}
