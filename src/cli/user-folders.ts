import path from 'node:path';

/**
 * Folders of a user (XDG Base Directory Specification). An empty variable counts as one that is not set, and so does a
 * relative path: the folder would be another one in each working folder.
 */
const DEFAULTS = { XDG_STATE_HOME: ['.local', 'state'], XDG_CACHE_HOME: ['.cache'] } as const;

export function userFolder(name: keyof typeof DEFAULTS, environment: NodeJS.ProcessEnv): string {
  return absolute(environment[name]) ?? path.join(absolute(environment['HOME']) ?? '/', ...DEFAULTS[name]);
}

/** A folder that a variable names; null where it names none. */
export function absolute(value: string | undefined): string | null {
  return value !== undefined && path.isAbsolute(value) ? value : null;
}
