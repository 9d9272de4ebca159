import type { Output } from './output.ts';

/** Options that every command accepts. */
export interface GlobalOptions {
  readonly manager?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsCa?: string;
}

/** What a command receives besides its own options and arguments. */
export interface CommandContext {
  readonly output: Output;
  readonly environment: NodeJS.ProcessEnv;
  readonly globals: GlobalOptions;
  /** Sets the exit code of a command that completed with a negative answer. */
  exit(code: number): void;
}
