import type { Duplex } from 'node:stream';
import { vi } from 'vitest';
import type { LinkOptions } from '../../../src/link/link.ts';
import { memoryPair } from '../../../src/link/transport/memory.ts';
import { encodeFrame, type Frame } from '../../../src/link/wire/frame.ts';
import type { LinkRole } from '../../../src/machines/link.machine.ts';
import { damagedFrame, hostileFrame } from '../../harness/hostile/frames.ts';
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
    far.write(this.random.chance(0.95) ? this.hello() : damagedFrame(this.random, this.hello()));
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
    const made = this.bodies(random);
    this.sequence += 1;
    return hostileFrame(random, this.sequence, made);
  }
}
