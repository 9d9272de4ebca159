import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeFirst } from 'cborg';
import { parseCoseKey } from '../../src/attestation/dice/cose.ts';
import { vectorsDir } from '../vectors.ts';

/** The layers in real evidence of Project Oak, a protocol buffer around them. */
export function openOak() {
  const bytes = new Uint8Array(readFileSync(join(vectorsDir(), 'oak', 'milan_oc_release_evidence.binarypb')));
  const itemsAt = (start: Uint8Array): Uint8Array[] => {
    const items: Uint8Array[] = [];
    for (let at = Buffer.from(bytes).indexOf(start); at >= 0; ) {
      const [, rest] = decodeFirst(bytes.subarray(at), { useMaps: true });
      items.push(bytes.slice(at, bytes.length - rest.length));
      at = Buffer.from(bytes).indexOf(start, at + 1);
    }
    return items;
  };
  // COSE_Key of the root, which the report binds; the certificates of the layers, then those of the application's keys.
  const [rootKey] = itemsAt(Uint8Array.of(0xa7, 1, 2, 2));
  const chain = itemsAt(Uint8Array.of(0x84, 0x43, 0xa1, 1)).slice(0, 3);
  if (rootKey === undefined) throw new Error('no root key');
  const key = parseCoseKey(rootKey);
  if (key.kind !== 'P-256') throw new Error('not a P-256 key');
  return { rootKey, rootPoint: Buffer.from(key.point).toString('hex'), chain, bytes };
}
