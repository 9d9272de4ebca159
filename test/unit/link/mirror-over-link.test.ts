import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Link, LinkPosition } from '../../../src/link/link.ts';
import { MirrorSet } from '../../../src/link/mirror/mirror.ts';
import { ADDRESSES, AgentSystem, anyEvent, stateOf } from './agent-system.ts';
import { startLink, Wire } from './wire.ts';

/** Steps during the life of an agent: its own events, and faults on the host's side. */
const step = fc.oneof(
  { weight: 10, arbitrary: anyEvent.map((sent) => ({ kind: 'event' as const, ...sent })) },
  { weight: 2, arbitrary: fc.constant({ kind: 'cut' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'restart' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'amnesia' as const }) },
  { weight: 3, arbitrary: fc.integer({ min: 1, max: 1_500 }).map((ms) => ({ kind: 'wait' as const, ms })) },
);

/** A manager that keeps its mirrors and its position across restarts, as its store does. */
class Host {
  mirrors = new MirrorSet(() => undefined);
  readonly reasons: string[] = [];
  private position: LinkPosition | null = null;
  private link: Link;
  private readonly wire: Wire;
  private boots = 0;

  constructor(wire: Wire) {
    this.wire = wire;
    this.link = this.boot();
  }

  get isLive(): boolean {
    return this.link.isLive;
  }

  restart(): void {
    this.link.close();
    this.link = this.boot();
  }

  /** Restarts without the stored state. */
  forget(): void {
    this.link.close();
    this.mirrors = new MirrorSet(() => undefined);
    this.position = null;
    this.link = this.boot();
  }

  private boot(): Link {
    this.boots += 1;
    const { mirrors } = this;
    return startLink({
      role: 'manager',
      bootId: `manager ${this.boots}`,
      open: this.wire.accept,
      resume: this.position,
      commit: (position) => {
        this.position = position;
        return Promise.resolve();
      },
      onEvent: (body) => mirrors.apply(body),
      onSnapshot: (records, first) => {
        if (first) mirrors.clear();
        for (const record of records) mirrors.apply(record);
      },
      onState: (_state, reason) => {
        if (reason !== null) this.reasons.push(reason);
      },
    });
  }
}

describe('the mirror law over a link', () => {
  beforeEach(() => {
    vi.useFakeTimers({
      toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'],
    });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('holds once the link is quiet, after any interruptions, restarts and lost journals', async () => {
    const told = { restored: 0 };
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 40 }), async (steps) => {
        const wire = new Wire();
        const host = new Host(wire);
        const system = new AgentSystem((record) => agent.publish(record));
        const agent = startLink({
          role: 'agent',
          open: wire.dial,
          snapshot: () => {
            told.restored += 1;
            return system.authority.snapshot();
          },
        });
        system.start();
        for (const each of steps) {
          if (each.kind === 'event') system.send(each.address, each.event);
          else if (each.kind === 'cut') wire.cut();
          else if (each.kind === 'restart') host.restart();
          else if (each.kind === 'amnesia') host.forget();
          else await vi.advanceTimersByTimeAsync(each.ms);
        }
        // A cut is noticed with a delay; the longest back-off is 2 s.
        await vi.advanceTimersByTimeAsync(5_000);
        expect(host.isLive && agent.isLive).toBe(true);
        for (const address of ADDRESSES) {
          expect(stateOf(host.mirrors.get(address)), address).toEqual(stateOf(system.get(address)));
        }
        // Neither side violated the protocol.
        expect(host.reasons.filter((reason) => reason.startsWith('LINK_PROTOCOL'))).toEqual([]);
        system.stop();
        host.restart();
        agent.close();
      }),
      { numRuns: 100 },
    );
    expect(told.restored).toBeGreaterThan(0);
  });
});
