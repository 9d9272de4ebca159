import { COMPUTATION_ADDRESS } from '../../machines/agent.machine.ts';
import type { ComputationEvent } from '../../machines/computation.events.ts';
import type { ComputationContext } from '../../machines/computation.machine.ts';
import { stateName } from '../../machines/state-name.ts';
import type { ComputationStatus, FollowItem } from '../../rpc/sealed.ts';
import type { ActorsPort, ComputationPort, FollowPort } from '../ports.ts';
import type { LogBuffer } from './log-buffer.ts';

/** The one computation of this agent, as the other parts drive and observe it. */
export class Computation implements ComputationPort, FollowPort {
  private readonly actors: ActorsPort;
  private readonly logs: LogBuffer;

  constructor(actors: ActorsPort, logs: LogBuffer) {
    this.actors = actors;
    this.logs = logs;
  }

  get context(): ComputationContext {
    return this.actors.computation.getSnapshot().context;
  }

  get isAwaitingManifest(): boolean {
    return this.actors.computation.getSnapshot().matches('awaitingManifest');
  }

  send(event: ComputationEvent): void {
    this.actors.send(COMPUTATION_ADDRESS, event);
  }

  sendLegal(event: ComputationEvent): void {
    this.actors.sendLegal(COMPUTATION_ADDRESS, event);
  }

  /** Calls back when the computation was stopped or has failed: it will not use its inputs any more. */
  onOver(listener: () => void): void {
    this.actors.computation.subscribe((snapshot) => {
      if (snapshot.matches('stopped') || snapshot.matches('failed')) listener();
    });
  }

  status(): ComputationStatus {
    const { value, context } = this.actors.computation.getSnapshot();
    return {
      state: stateName(value),
      inputs: Object.fromEntries(Object.entries(context.inputs).map(([name, input]) => [name, { ...input }])),
      result: context.result,
      exitCode: context.run?.exitCode ?? null,
      cause: context.cause,
    };
  }

  async *follow(withLogs: boolean, signal: AbortSignal): AsyncGenerator<FollowItem> {
    // Log lines first, so that a client that waits for a state still sees what was printed before it.
    const queue: FollowItem[] = withLogs ? [...this.logs.lines()] : [];
    queue.push({ kind: 'status', status: this.status() });
    let wake: () => void = () => undefined;
    const push = (item: FollowItem) => {
      queue.push(item);
      wake();
    };
    const subscription = this.actors.computation.subscribe(() =>
      push({ kind: 'status', status: this.status() }),
    );
    const unlisten = withLogs ? this.logs.listen(push) : () => undefined;
    const onAbort = () => wake();
    signal.addEventListener('abort', onAbort);
    try {
      while (!signal.aborted) {
        const item = queue.shift();
        if (item !== undefined) yield item;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      subscription.unsubscribe();
      unlisten();
      signal.removeEventListener('abort', onAbort);
    }
  }
}
