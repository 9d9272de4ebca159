import { z } from 'zod';
import type { LinkPosition } from '../link/link.ts';
import type { MirrorSet } from '../link/mirror.ts';
import type { Store } from './store.ts';

/**
 * What is stored for one enclave beside its own machine: the mirrors of its agent's machines and how far the agent's
 * journal was taken in. Both are written in one turn of the event loop, and so in one transaction.
 */
export interface EnclaveRecords {
  position(): LinkPosition | null;
  savePosition(position: LinkPosition): Promise<void>;
  saveMirror(own: string, mirror: { readonly value: unknown; readonly context: unknown }): Promise<void>;
  removeMirror(own: string): void;
  forgetMirrors(): void;
  /** Brings the stored mirrors back; gives the keys of those that cannot be. */
  restoreMirrors(mirrors: MirrorSet): string[];
  remove(): Promise<void>;
}

const Position = z.strictObject({ peerBootId: z.string(), received: z.int().min(0) });
const Mirror = z.strictObject({ value: z.unknown(), context: z.unknown() });
const VERSION = 1;

export function enclaveRecords(store: Store, address: string): EnclaveRecords {
  const linkKey = `link/${address}`;
  const mirrorPrefix = `mirror/${address}/`;
  return {
    position: () => {
      for (const loaded of store.load(linkKey)) {
        const position = 'error' in loaded ? null : Position.safeParse(loaded.value);
        if (position?.success) return position.data;
      }
      return null;
    },
    savePosition: (position) => store.put(linkKey, 'link', VERSION, position),
    saveMirror: (own, { value, context }) =>
      store.put(`${mirrorPrefix}${own}`, 'mirror', VERSION, { value, context }),
    removeMirror: (own) => void store.remove(`${mirrorPrefix}${own}`),
    forgetMirrors: () => void store.removeAll(mirrorPrefix),
    restoreMirrors: (mirrors) => {
      const refused: string[] = [];
      for (const loaded of store.load(mirrorPrefix)) {
        try {
          if ('error' in loaded) throw loaded.error;
          const { value, context } = Mirror.parse(loaded.value);
          const own = loaded.key.slice(mirrorPrefix.length);
          mirrors.recall(own, value, context);
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
