/** Deterministic mutations of byte strings, so that a failure can be repeated. */

/** The bytes with one bit changed. */
export function flipBit(bytes: Uint8Array, bit: number): Uint8Array {
  const changed = Uint8Array.from(bytes);
  const at = bit >> 3;
  changed[at] = (changed[at] ?? 0) ^ (1 << (bit & 7));
  return changed;
}

/** Pseudo-random numbers in [0, 1) of a seed (mulberry32). */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const INTERESTING = [0, 1, 0x7f, 0x80, 0xff];

/** A few random changes: bits, bytes, cuts, removals, repeats, sizes, insertions. */
export function mutate(bytes: Uint8Array, next: () => number): Uint8Array {
  let out: Uint8Array = Uint8Array.from(bytes);
  const below = (limit: number): number => Math.floor(next() * Math.max(1, limit));
  const join = (...parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));
  for (let count = 1 + below(4); count > 0; count -= 1) {
    const at = below(out.length);
    switch (below(7)) {
      case 0:
        if (at < out.length) out = flipBit(out, at * 8 + below(8));
        break;
      case 1:
        if (at < out.length) out[at] = INTERESTING[below(INTERESTING.length)] ?? 0;
        break;
      case 2:
        out = out.slice(0, at);
        break;
      case 3:
        out = join(out.subarray(0, at), out.subarray(below(out.length)));
        break;
      case 4:
        out = join(out.subarray(0, at), out.subarray(at + 1 + below(8)));
        break;
      case 5:
        if (at + 4 <= out.length)
          new DataView(out.buffer).setUint32(at, below(2) * 0xffff_0000 + below(0x1_0000));
        break;
      default:
        out = join(out.subarray(0, at), Uint8Array.of(below(256)), out.subarray(at));
    }
  }
  // Repeats may double a string: memory stays bounded.
  return out.slice(0, 2 * bytes.length + 64);
}
