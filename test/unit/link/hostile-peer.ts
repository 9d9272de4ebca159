import type { Duplex } from 'node:stream';
import { vi } from 'vitest';
import type { LinkOptions } from '../../../src/link/link.ts';
import { memoryPair } from '../../../src/link/transport/memory.ts';
import { encodeFrame, FRAME_KINDS, type Frame, prefixLength } from '../../../src/link/wire/frame.ts';
import { encodeMsgpack } from '../../../src/link/wire/msgpack.ts';
import type { LinkRole } from '../../../src/machines/link.machine.ts';
import type { Seeded } from '../../seeded.ts';
import { startLink } from './wire.ts';

/** Valid bodies of a peer of this role, as raw material. */
export type Bodies = (random: Seeded) => { readonly kind: Frame['kind']; readonly body: unknown };

/**
 * A peer that completes the handshake and then sends mutations of valid frames: other bytes, lengths, kinds, numbers and
 * values, determined by a seed. It reconnects whenever its stream is closed.
 */
export class HostilePeer {
  sent = 0;
  streams = 0;
  private readonly random: Seeded;
  private readonly bodies: Bodies;
  private readonly role: LinkRole;
  private far: Duplex | null = null;
  private sequence = 0;

  /** Against a link that plays the other role with `options`. */
  constructor(random: Seeded, role: LinkRole, bodies: Bodies, options: Partial<LinkOptions>) {
    this.random = random;
    this.role = role;
    this.bodies = bodies;
    startLink({
      ...options,
      role: role === 'agent' ? 'manager' : 'agent',
      open: () => {
        const [near, far] = memoryPair();
        // Data from the link is read, so that nothing accumulates.
        far.on('data', () => undefined).on('error', () => undefined);
        this.far = far;
        this.streams += 1;
        this.sequence = 0;
        return Promise.resolve(near);
      },
    });
  }

  /** One stream until it is closed or has carried enough. */
  async session(): Promise<void> {
    await vi.advanceTimersByTimeAsync(2_100);
    const { far } = this;
    if (far === null || far.destroyed) throw new Error('the link did not come back');
    far.write(this.random.chance(0.95) ? this.hello() : this.damaged(this.hello()));
    for (let count = this.random.below(12); count >= 0 && !far.destroyed; count--) {
      far.write(this.next());
      this.sent += 1;
      if (this.random.chance(0.3)) await vi.advanceTimersByTimeAsync(0);
    }
    await vi.advanceTimersByTimeAsync(10);
    far.destroy();
  }

  private hello(): Buffer {
    const { random, role } = this;
    // A new boot starts a new journal; an old one would have to continue.
    const bootId = `boot ${this.streams}`;
    const body = { protocol: 1, role, enclaveId: null, bootId, peerBootId: null, received: random.below(3) };
    return encodeFrame({ kind: 'hello', seq: 0, ack: 0, body });
  }

  private next(): Buffer {
    const { random } = this;
    const { kind, body } = this.bodies(random);
    this.sequence += 1;
    const good = { kind, seq: this.sequence, ack: random.below(5), body };
    switch (random.below(7)) {
      case 0:
        return this.damaged(encodeFrame(good));
      case 1:
        return encodeFrame({ ...good, kind: random.pick(FRAME_KINDS) });
      case 2:
        return encodeFrame({ ...good, seq: random.below(2 ** 40), ack: random.below(2 ** 40) });
      case 3:
        return prefixLength(random.bytes(1 + random.below(60)), 2 ** 20);
      case 4:
        return prefixLength(encodeMsgpack(this.anything(0)), 2 ** 20);
      default:
        return encodeFrame(good);
    }
  }

  private damaged(frame: Buffer): Buffer {
    const { random } = this;
    for (let changes = 1 + random.below(4); changes > 0; changes--)
      frame[random.below(frame.length)] = random.below(256);
    return random.chance(0.3) ? frame.subarray(0, 1 + random.below(frame.length)) : frame;
  }

  private anything(depth: number): unknown {
    const { random } = this;
    const values = [null, true, -1, 1.5, 2 ** 40, 'event', 'computation', random.bytes(5), Number.NaN];
    if (depth > 3 || random.chance(0.4)) return random.pick(values);
    const items = Array.from({ length: random.below(5) }, () => this.anything(depth + 1));
    if (random.chance(0.5)) return items;
    return Object.fromEntries(
      items.map((item, index) => [random.pick(['kind', 'address', `k${index}`]), item]),
    );
  }
}
