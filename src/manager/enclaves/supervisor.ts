import type { Snapshot } from 'xstate';
import { CocosError } from '../../errors.ts';
import { type EnclaveEvent, EnclaveInput } from '../../machines/enclave.events.ts';
import type { EnclaveContext } from '../../machines/enclave.machine.ts';
import type { ManagerEvent, RecoverInput } from '../../machines/manager.machine.ts';
import { systemClock } from '../../runtime/clock.ts';

import type { Log } from '../log.ts';

interface SupervisorOptions {
  readonly send: (event: ManagerEvent) => void;
  readonly sendEnclave: (address: string, event: EnclaveEvent) => void;
  /** The context of a child that has thrown. */
  readonly enclave: (address: string) => EnclaveContext;
  /** The last stored snapshot of a child; null when it cannot be read. */
  readonly stored: (address: string) => Snapshot<unknown> | null;
  /** Releases what a child holds and leaves it running, so that the restarted child takes it over. */
  readonly detach: (address: string) => Promise<void>;
  /** Sets the stored record of a child aside, and ends what it holds. */
  readonly abandon: (address: string) => Promise<void>;
  readonly restartService: () => void;
  readonly log: Log;
}

/** Carries out the decisions of the manager's machine about children that have thrown. */
export class Supervisor {
  private readonly options: SupervisorOptions;
  private readonly restored = new Map<string, Snapshot<unknown>>();

  constructor(options: SupervisorOptions) {
    this.options = options;
  }

  /** To be called when a child has thrown. */
  recordFailure(address: string, thrown: unknown): void {
    const reason = CocosError.from(thrown).message;
    this.options.log('error', 'an actor has failed', { address, reason });
    this.options.send({
      type: 'child.failed',
      address,
      reason,
      atMs: systemClock.monotonic(),
      chance: Math.random(),
    });
  }

  /** The snapshot that a restarted enclave begins with; null for a new enclave. */
  takeRestored(id: string): Snapshot<unknown> | null {
    const snapshot = this.restored.get(id) ?? null;
    this.restored.delete(id);
    return snapshot;
  }

  /** The `recover` effect. */
  async recover({ address, decision }: RecoverInput, signal: AbortSignal): Promise<void> {
    const { log, send, sendEnclave, restartService } = this.options;
    if (decision.kind === 'restart') {
      await new Promise((resolve) => setTimeout(resolve, decision.delayMs));
      if (signal.aborted) return;
      log('info', 'an actor is restarted', { address, delayMs: decision.delayMs });
      if (address === 'service') {
        restartService();
        return send({ type: 'child.settled', address });
      }
    }
    if (address !== 'service') await this.options.detach(address);
    if (decision.kind === 'dropped' || !this.recall(address)) {
      log('error', 'an actor is abandoned', { address });
      if (address !== 'service') await this.options.abandon(address);
      return send({ type: 'child.settled', address });
    }
    if (decision.kind === 'failed') {
      const message = 'The machine of the enclave has failed too often.';
      sendEnclave(address, { type: 'enclave.broken', cause: { code: 'INTERNAL', message } });
    }
  }

  private recall(address: string): boolean {
    const snapshot = this.options.stored(address);
    if (snapshot === null) return false;
    const input = EnclaveInput.safeParse(pickInput(this.options.enclave(address)));
    if (!input.success) return false;
    this.restored.set(input.data.id, snapshot);
    this.options.send({ type: 'child.restored', address, input: input.data });
    // One that threw at its first event was stored before it: legal in that state alone.
    this.options.sendEnclave(address, { type: 'enclave.prepare', atMs: systemClock.monotonic() });
    return true;
  }
}

function pickInput(context: EnclaveContext) {
  const { id, name, mode, vcpus, memoryMiB, imageDir, manifest, manifestDigest, limits, atMs } = context;
  return { id, name, mode, vcpus, memoryMiB, imageDir, manifest, manifestDigest, limits, atMs };
}
