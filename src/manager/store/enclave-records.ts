import { z } from 'zod';
import type { LinkPosition } from '../../link/link.ts';
import type { MirrorSet } from '../../link/mirror/mirror.ts';
import type { Store } from './store.ts';

/**
 * What is stored for one enclave beside its own machine: the mirrors of its agent's machines, and up to where the
 * agent's journal is contained in them. What came in since lies in the mirror journal.
 */
export interface EnclaveRecords {
  position(): StoredPosition | null;
  /** Writes these mirrors, or removes those that are null, with the position, in one transaction. */
  save(
    position: StoredPosition,
    mirrors: Iterable<readonly [own: string, StoredMirror | null]>,
  ): Promise<void>;
  /** Removes every mirror and writes the position, in one transaction. */
  clear(position: StoredPosition): Promise<void>;
  /** Brings the stored mirrors back; gives the keys of those that cannot be. */
  restoreMirrors(mirrors: MirrorSet): string[];
  remove(): Promise<void>;
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
  const savePosition = (position: StoredPosition) => store.put(linkKey, 'link', VERSION, position);
  return {
    position: () => {
      for (const loaded of store.load(linkKey)) {
        const position = 'error' in loaded ? null : Position.safeParse(loaded.value);
        if (position?.success) return position.data;
      }
      return null;
    },
    save: async (position, mirrors) => {
      const writes = [savePosition(position)];
      for (const [own, mirror] of mirrors) {
        const key = `${mirrorPrefix}${own}`;
        const { value, context } = mirror ?? {};
        writes.push(
          mirror === null ? store.remove(key) : store.put(key, 'mirror', VERSION, { value, context }),
        );
      }
      await Promise.all(writes);
    },
    clear: async (position) => {
      await Promise.all([savePosition(position), store.removeAll(mirrorPrefix)]);
    },
    restoreMirrors: (mirrors) => {
      const refused: string[] = [];
      for (const loaded of store.load(mirrorPrefix)) {
        try {
          if ('error' in loaded) throw loaded.error;
          const { value, context } = Mirror.parse(loaded.value);
          mirrors.recall(loaded.key.slice(mirrorPrefix.length), value, context);
        } catch {
          refused.push(loaded.key);
        }
      }
      return refused;
    },
    remove: async () => {
      await Promise.all([store.remove(linkKey), store.removeAll(mirrorPrefix)]);
    },
  };
}
