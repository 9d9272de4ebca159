import type { Lie, Piece } from './lying-relay.ts';

/** What a relay may do to a stream of sealed segments. Each lie lets the first segment through as it is. */

/** A segment of an earlier stream, for the line that splices. */
export interface Recorded {
  piece: Piece | null;
}

/** Notes the second segment of a stream and passes everything on. */
export function record(into: Recorded): Lie {
  return onSecond(function* (second) {
    into.piece = { last: second.last, bytes: second.bytes.slice() };
    yield second;
  });
}

export function segmentLies(other: Recorded): Readonly<Record<string, Lie>> {
  return {
    truncated: onSecond(function* (second) {
      yield { ...second, bytes: second.bytes.subarray(0, -1) };
    }),
    'altered in one bit': onSecond(function* ({ last, bytes }) {
      yield { last, bytes: bytes.map((byte, index) => (index === 1000 ? byte ^ 1 : byte)) };
    }),
    reordered: async function* (pieces) {
      const rest = pieces[Symbol.asyncIterator]();
      yield await next(rest);
      const [second, third] = [await next(rest), await next(rest)];
      yield* [third, second];
      yield* others(rest);
    },
    duplicated: onSecond(function* (second) {
      yield* [second, second];
    }),
    dropped: onSecond(function* () {}),
    'spliced from another transfer': onSecond(function* () {
      if (other.piece === null) throw new Error('nothing was recorded');
      yield other.piece;
    }),
    'called the last before its time': onSecond(function* (second) {
      yield { ...second, last: true };
    }),
    'the last, without its flag': async function* (pieces) {
      for await (const piece of pieces) yield { ...piece, last: false };
    },
  };
}

function onSecond(change: (second: Piece) => Iterable<Piece>): Lie {
  return async function* (pieces) {
    const rest = pieces[Symbol.asyncIterator]();
    yield await next(rest);
    yield* change(await next(rest));
    yield* others(rest);
  };
}

async function next(pieces: AsyncIterator<Piece>): Promise<Piece> {
  const { value, done } = await pieces.next();
  if (done === true) throw new Error('the stream is too short for this lie');
  return value;
}

async function* others(pieces: AsyncIterator<Piece>): AsyncGenerator<Piece> {
  for (let each = await pieces.next(); each.done !== true; each = await pieces.next()) yield each.value;
}
