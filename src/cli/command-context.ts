import type { Command } from 'commander';
import type { ControlClient } from '../rpc/control-client.ts';
import type { Output } from './output.ts';

/** What commands are given. */
export interface CommandContext {
  readonly output: Output;
  readonly environment: NodeJS.ProcessEnv;
  /** A client of the manager, closed by `withManager`. */
  withManager<T>(command: Command, run: (client: ControlClient) => Promise<T>): Promise<T>;
  /** Sets the exit code of a command that did its work but has a negative answer. */
  exit(code: number): void;
}
