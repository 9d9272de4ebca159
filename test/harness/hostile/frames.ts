import { encodeFrame, FRAME_KINDS, type Frame, prefixLength } from '../../../src/link/wire/frame.ts';
import { encodeMsgpack } from '../../../src/link/wire/msgpack.ts';
import type { Seeded } from '../../seeded.ts';

/** The frame of a peer that may be anything: as it is, or with other bytes, lengths, kinds, numbers or values. */
export function hostileFrame(
  random: Seeded,
  seq: number,
  { kind, body }: Pick<Frame, 'kind' | 'body'>,
): Buffer {
  const good = { kind, seq, ack: random.below(5), body };
  switch (random.below(7)) {
    case 0:
      return damagedFrame(random, encodeFrame(good));
    case 1:
      return encodeFrame({ ...good, kind: random.pick(FRAME_KINDS) });
    case 2:
      return encodeFrame({ ...good, seq: random.below(2 ** 40), ack: random.below(2 ** 40) });
    case 3:
      return prefixLength(random.bytes(1 + random.below(60)), 2 ** 20);
    case 4:
      return prefixLength(encodeMsgpack(anything(random, 0)), 2 ** 20);
    default:
      return encodeFrame(good);
  }
}

/** A frame with some of its bytes changed, and perhaps without its end. */
export function damagedFrame(random: Seeded, frame: Buffer): Buffer {
  for (let changes = 1 + random.below(4); changes > 0; changes--)
    frame[random.below(frame.length)] = random.below(256);
  return random.chance(0.3) ? frame.subarray(0, 1 + random.below(frame.length)) : frame;
}

/** Any value that the wire can carry. */
export function anything(random: Seeded, depth: number): unknown {
  const values = [null, true, -1, 1.5, 2 ** 40, 'event', 'computation', random.bytes(5), Number.NaN];
  if (depth > 3 || random.chance(0.4)) return random.pick(values);
  const items = Array.from({ length: random.below(5) }, () => anything(random, depth + 1));
  if (random.chance(0.5)) return items;
  return Object.fromEntries(
    items.map((item, index) => [random.pick(['kind', 'address', `k${index}`]), item]),
  );
}
