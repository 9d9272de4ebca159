import type { Duplex } from 'node:stream';
import { memoryPair } from '../../src/link/transport/memory.ts';
import { decodeFrame, encodeFrame, type Frame, LengthPrefixReader } from '../../src/link/wire/frame.ts';
import type { Seeded } from '../seeded.ts';

/** Faults of one direction of a stream. */
const FAULTS = ['drop', 'cut', 'cut mid-frame', 'delay', 'stall', 'repeat'] as const;
export type Fault = (typeof FAULTS)[number];

/** Changes a frame in transit from the manager to the agent, for deliberately broken links. */
export type Tamper = (frame: Frame) => Frame;

/** Probability of a fault per frame. */
const FAULT_CHANCE = 0.2;
/** Frames of earlier streams that are kept for repetition. */
const MEMORY = 40;
/** Longer than three heartbeats, so that both ends close the stream. */
const STALL_MS = 9_000;

/**
 * The wire between the two ends of a link under a hostile host. A byte stream cannot continue after it lost or reordered
 * a part, so a dropped frame ends the stream, and delayed frames are repeated on a later one.
 */
export class ChaosWire {
  readonly faults: Record<Fault, number> = {
    drop: 0,
    cut: 0,
    'cut mid-frame': 0,
    delay: 0,
    stall: 0,
    repeat: 0,
  };
  private readonly random: Seeded;
  private readonly tamper: Tamper;
  private isCalm = false;
  private ends: Duplex[] = [];
  private readonly ready: Duplex[] = [];
  private readonly takers: ((stream: Duplex) => void)[] = [];
  private readonly earlier: Readonly<Record<Direction, Buffer[]>> = { toManager: [], toAgent: [] };

  constructor(random: Seeded, tamper: Tamper = (frame) => frame) {
    this.random = random;
    this.tamper = tamper;
  }

  /** The agent's `open`. */
  readonly dial = (): Promise<Duplex> => {
    const [agent, agentFar] = memoryPair();
    const [manager, managerFar] = memoryPair();
    this.ends = [agentFar, managerFar];
    this.carry(agentFar, managerFar, 'toManager');
    this.carry(managerFar, agentFar, 'toAgent');
    const taker = this.takers.shift();
    if (taker === undefined) this.ready.push(manager);
    else taker(manager);
    return Promise.resolve(agent);
  };

  /** The manager's `open`. */
  readonly accept = (): Promise<Duplex> => {
    const stream = this.ready.findLast((each) => !each.destroyed);
    this.ready.length = 0;
    return stream === undefined
      ? new Promise((resolve) => this.takers.push(resolve))
      : Promise.resolve(stream);
  };

  cut(): void {
    for (const end of this.ends) end.destroy();
  }

  /** Stops all faults: everything is delivered immediately and unchanged. */
  calm(): void {
    this.isCalm = true;
  }

  private carry(from: Duplex, to: Duplex, direction: Direction): void {
    const end = () => {
      from.destroy();
      to.destroy();
    };
    from.on('error', end).on('close', end).on('end', end);
    const lane: Lane = { queue: Promise.resolve(), isOver: false };
    const reader = new LengthPrefixReader();
    from.on('data', (chunk: Buffer) => {
      for (const message of reader.push(chunk)) {
        const frame = decodeFrame(message);
        const bytes = encodeFrame(direction === 'toAgent' ? this.tamper(frame) : frame);
        // After delayed frames: frames of one stream do not overtake each other.
        lane.queue = lane.queue.then(() => this.forward(bytes, to, direction, lane, end));
      }
    });
  }

  private async forward(
    bytes: Buffer,
    to: Duplex,
    direction: Direction,
    lane: Lane,
    end: () => void,
  ): Promise<void> {
    if (to.destroyed || lane.isOver) return this.remember(direction, bytes);
    const fault = this.isCalm || !this.random.chance(FAULT_CHANCE) ? null : this.random.pick(FAULTS);
    if (fault !== null) this.faults[fault] += 1;
    switch (fault) {
      case 'drop':
        return end();
      case 'cut':
        to.write(bytes);
        return end();
      case 'cut mid-frame':
        lane.isOver = true;
        to.write(bytes.subarray(0, 1 + this.random.below(bytes.length - 1)));
        // Delivered to the other end before the stream closes.
        return void setTimeout(end, 1);
      case 'delay':
      case 'stall':
        await later(fault === 'stall' ? STALL_MS : 1 + this.random.below(400));
        break;
      default:
    }
    if (!to.destroyed) to.write(bytes);
    this.remember(direction, bytes);
    // Never before the hello, the first frame of every stream.
    if (fault === 'repeat') for (const old of this.repeated(direction)) to.write(old);
  }

  private remember(direction: Direction, bytes: Buffer): void {
    const kept = this.earlier[direction];
    kept.push(bytes);
    if (kept.length > MEMORY) kept.shift();
  }

  private repeated(direction: Direction): Buffer[] {
    const kept = this.earlier[direction];
    const from = this.random.below(kept.length);
    return kept.slice(from, from + 1 + this.random.below(5)).filter((bytes) => !isHello(bytes));
  }
}

type Direction = 'toManager' | 'toAgent';

interface Lane {
  queue: Promise<void>;
  /** Nothing may follow half a frame, since it would be read as the other half. */
  isOver: boolean;
}

function isHello(bytes: Buffer): boolean {
  return decodeFrame(bytes.subarray(4)).kind === 'hello';
}

function later(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
