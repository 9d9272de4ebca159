import { z } from 'zod';
import type { LinkPosition } from '../../link/link.ts';
import type { MirrorSet } from '../../link/mirror/mirror.ts';
import type { Store, Writes } from './store.ts';

/**
 * What is stored for one enclave beside its own machine: the mirrors of its agent's machines, and up to where the
 * agent's journal is contained in them. What came in since lies in the mirror journal.
 */
export interface EnclaveRecords {
  position(): StoredPosition | null;
  /** Writes these mirrors, or removes those that are null, with the position. */
  save(
    writes: Writes,
    position: StoredPosition,
    mirrors: Iterable<readonly [own: string, StoredMirror | null]>,
  ): void;
  /** Removes every mirror and writes the position. */
  clear(writes: Writes, position: StoredPosition): void;
  /** Brings the stored mirrors back; gives the keys of those that cannot be. */
  restoreMirrors(mirrors: MirrorSet): string[];
  remove(writes: Writes): void;
}

export interface StoredPosition extends LinkPosition {
  /** Number of the last record of the mirror journal that the mirrors contain. */
  readonly journal: number;
}

interface StoredMirror {
  readonly value: unknown;
  readonly context: unknown;
}

const Position = z.strictObject({
  peerBootId: z.string(),
  received: z.int().min(0),
  journal: z.int().min(0).default(0),
});
const Mirror = z.strictObject({ value: z.unknown(), context: z.unknown() });
const VERSION = 1;

export function enclaveRecords(store: Store, address: string): EnclaveRecords {
  const linkKey = `link/${address}`;
  const mirrorPrefix = `mirror/${address}/`;
  const savePosition = (writes: Writes, position: StoredPosition) =>
    writes.put(linkKey, 'link', VERSION, position);
  return {
    position: () => {
      for (const loaded of store.load(linkKey)) {
        const position = 'error' in loaded ? null : Position.safeParse(loaded.value);
        if (position?.success) return position.data;
      }
      return null;
    },
    save: (writes, position, mirrors) => {
      savePosition(writes, position);
      for (const [own, mirror] of mirrors) {
        const key = `${mirrorPrefix}${own}`;
        if (mirror === null) writes.remove(key);
        else writes.put(key, 'mirror', VERSION, { value: mirror.value, context: mirror.context });
      }
    },
    clear: (writes, position) => {
      writes.removeAll(mirrorPrefix);
      savePosition(writes, position);
    },
    restoreMirrors: (mirrors) => {
      const refused: string[] = [];
      for (const loaded of store.load(mirrorPrefix)) {
        try {
          if ('error' in loaded) throw loaded.error;
          const { value, context } = Mirror.parse(loaded.value);
          mirrors.restoreMirror(loaded.key.slice(mirrorPrefix.length), value, context);
        } catch {
          refused.push(loaded.key);
        }
      }
      return refused;
    },
    remove: (writes) => {
      writes.remove(linkKey);
      writes.removeAll(mirrorPrefix);
    },
  };
}
