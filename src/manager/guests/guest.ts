import type { CocosError } from '../../errors.ts';
import type { Transport } from '../../link/transport/transport.ts';

export interface GuestExit {
  readonly code: number | null;
  readonly signal: string | null;
}

/**
 * A handle on a running guest, whatever it runs in: a virtual machine, or a child process in process mode. The guest
 * outlives its handle: a later one takes it over.
 */
export interface Guest {
  readonly pid: number;
  /** `kvm`, `tcg` or `process`. */
  readonly accelerator: string;
  readonly exited: Promise<GuestExit>;
  /** Resolves with the cause when the guest lives on without something that it cannot do without. */
  readonly lost?: Promise<CocosError>;
  readonly transport: Transport;
  /**
   * Releases the watchers and timers of this handle and leaves the guest running. `exited` and `lost` never settle
   * afterwards, and nothing else of the handle may be used.
   */
  detach(): void;
  /** Asks the machine to end, without the agent's help. */
  quit(): Promise<void>;
  /** Ends everything that was started for the guest; resolves when it is gone. */
  kill(): Promise<void>;
}
