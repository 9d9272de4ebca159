import type { Frame } from '../../src/link/wire/frame.ts';
import { Hello } from '../../src/link/wire/hello.ts';
import type { Seeded } from '../seeded.ts';
import type { Tamper } from './chaos-wire.ts';

/** A manager that acknowledges more than it has stored, as if it did not wait for its store. */
export function brokenAck(random: Seeded): Tamper {
  let told = 0;
  return (frame: Frame): Frame => {
    const hello = Hello.safeParse(frame.body);
    if (frame.kind === 'hello' && hello.success) {
      return { ...frame, body: { ...hello.data, received: Math.max(hello.data.received, told) } };
    }
    if (frame.ack > told) told = frame.ack + random.below(2);
    return { ...frame, ack: Math.max(frame.ack, told) };
  };
}
