import { lstatSync, mkdirSync } from 'node:fs';
import path from 'node:path';

/** `node:module` of Node 22.1 and later. */
export interface CompileCacheModule {
  enableCompileCache(folder: string): unknown;
}

/**
 * Lets node keep compiled code between runs, where this version of node can.
 *
 * Compiled code is code: whoever can write it decides what the next run executes. It is therefore kept only in a folder
 * below the user's own cache folder that belongs to this user and that nobody else may write to.
 *
 * @returns the folder in use; null when there is no cache.
 */
export function enableCompileCache(nodeModule: object, environment: NodeJS.ProcessEnv): string | null {
  if (!hasCompileCache(nodeModule)) return null;
  const home = environment['HOME'];
  const cache = environment['XDG_CACHE_HOME'] ?? (home === undefined ? undefined : path.join(home, '.cache'));
  if (cache === undefined || !path.isAbsolute(cache)) return null;
  const folder = path.join(cache, 'cocosai', 'compiled');
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    if (![path.dirname(folder), folder].every(isOwn)) return null;
    nodeModule.enableCompileCache(folder);
    return folder;
  } catch {
    // Without a cache the command only starts more slowly.
    return null;
  }
}

function isOwn(folder: string): boolean {
  const found = lstatSync(folder);
  return found.isDirectory() && found.uid === process.getuid?.() && (found.mode & 0o022) === 0;
}

function hasCompileCache(nodeModule: object): nodeModule is CompileCacheModule {
  return 'enableCompileCache' in nodeModule && typeof nodeModule.enableCompileCache === 'function';
}
