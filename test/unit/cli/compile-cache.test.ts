import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { enableCompileCache } from '../../../src/cli/compile-cache.ts';

let folder: string;
let enabled: string[];
const nodeModule = { enableCompileCache: (cache: string) => void enabled.push(cache) };
const cacheOf = (environment: NodeJS.ProcessEnv) => enableCompileCache(nodeModule, environment);
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'cocos-cache-'));
  enabled = [];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('the compile cache', () => {
  it("is in a folder of the user's cache that only the user may write to", () => {
    const cache = cacheOf({ HOME: folder });
    expect(cache).toBe(path.join(folder, '.cache/cocosai/compiled'));
    expect(enabled).toEqual([cache]);
    expect(statSync(cache ?? '').mode & 0o777).toBe(0o700);
    expect(cacheOf({ HOME: '/nonexistent', XDG_CACHE_HOME: folder })).toBe(
      path.join(folder, 'cocosai/compiled'),
    );
  });

  it('is off where node has none, and then creates no folder', () => {
    expect(enableCompileCache({}, { HOME: folder })).toBeNull();
    expect(existsSync(path.join(folder, '.cache'))).toBe(false);
  });

  it.each(['cocosai', 'cocosai/compiled'])('is off where others may write to %s', (shared) => {
    mkdirSync(path.join(folder, 'cocosai/compiled'), { recursive: true, mode: 0o700 });
    chmodSync(path.join(folder, shared), 0o770);
    expect(cacheOf({ XDG_CACHE_HOME: folder })).toBeNull();
    expect(enabled).toEqual([]);
  });

  it('is off behind a symbolic link, without a home and under a relative path', () => {
    mkdirSync(path.join(folder, 'elsewhere/compiled'), { recursive: true });
    symlinkSync(path.join(folder, 'elsewhere'), path.join(folder, 'cocosai'));
    expect(cacheOf({ XDG_CACHE_HOME: folder })).toBeNull();
    expect(cacheOf({})).toBeNull();
    expect(cacheOf({ XDG_CACHE_HOME: 'cache' })).toBeNull();
    expect(cacheOf({ XDG_CACHE_HOME: '/dev/null' })).toBeNull();
    expect(enabled).toEqual([]);
  });
});
