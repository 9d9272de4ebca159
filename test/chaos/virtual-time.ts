/**
 * Timers that run on demand, in the order of their times, so that a run does not wait and is reproducible. Streams and
 * promises run by themselves between two timers.
 */
export class VirtualTime {
  private nowMs = 0;
  private nextId = 1;
  private readonly timers = new Map<number, Timer>();

  readonly now = (): number => this.nowMs;

  /** Replaces the global timers until the returned function is called. */
  install(): () => void {
    const { setTimeout, clearTimeout, setInterval, clearInterval } = globalThis;
    const add =
      (every: boolean) =>
      (run: (...given: unknown[]) => void, ms?: number, ...given: unknown[]) =>
        this.add(() => run(...given), Math.max(1, ms ?? 0), every);
    const clear = (handle: unknown) => void this.timers.delete(Number(handle));
    Object.assign(globalThis, {
      setTimeout: add(false),
      setInterval: add(true),
      clearTimeout: clear,
      clearInterval: clear,
    });
    return () => void Object.assign(globalThis, { setTimeout, clearTimeout, setInterval, clearInterval });
  }

  async advance(ms: number): Promise<void> {
    const target = this.nowMs + ms;
    await settled();
    for (;;) {
      const [id, timer] = this.earliest();
      if (timer === undefined || id === undefined || timer.dueMs > target) break;
      this.nowMs = timer.dueMs;
      if (timer.everyMs === null) this.timers.delete(id);
      else timer.dueMs += timer.everyMs;
      timer.run();
      await settled();
    }
    this.nowMs = target;
  }

  private earliest(): [number, Timer] | [] {
    let found: [number, Timer] | [] = [];
    for (const entry of this.timers)
      if (found[1] === undefined || entry[1].dueMs < found[1].dueMs) found = entry;
    return found;
  }

  private add(run: () => void, ms: number, every: boolean): unknown {
    const id = this.nextId++;
    this.timers.set(id, { run, dueMs: this.nowMs + ms, everyMs: every ? ms : null });
    const handle = {
      ref: () => handle,
      unref: () => handle,
      hasRef: () => true,
      [Symbol.toPrimitive]: () => id,
    };
    return handle;
  }
}

interface Timer {
  readonly run: () => void;
  dueMs: number;
  readonly everyMs: number | null;
}

/** Resolves when streams and promises are idle. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
