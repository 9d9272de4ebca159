export class SetupError extends Error {}

export function cacheFolder(): string;

export function runCommand(
  file: string,
  args: readonly string[],
  options?: { readonly cwd?: string; readonly env?: Record<string, string>; readonly what?: string },
): string;

export function hasCommand(file: string): boolean;
