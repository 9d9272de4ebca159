import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { isInRoot } from '../../../eos/root-image.ts';

const LIBRARY = 'usr/lib/python3.13';

describe('the root image', () => {
  it.each([
    ...['pdb.py', 'pydoc.py', 'doctest.py', 'pydoc_data/topics.py', '_pyrepl/pager.py', 'venv/__init__.py'],
    ...['curses/__init__.py', 'dbm/dumb.py', 'dbm/sqlite3.py', 'ensurepip/__init__.py'],
    'lib-dynload/_curses.cpython-313-x86_64-linux-gnu.so',
    'lib-dynload/readline.cpython-313-x86_64-linux-gnu.so',
  ])("keeps '%s' of Python's library", (path) => {
    expect(isInRoot(`${LIBRARY}/${path}`)).toBe(true);
  });

  it('keeps the time zones, without the copies that no program reads', () => {
    expect(isInRoot('usr/share/zoneinfo/Europe/Berlin')).toBe(true);
    expect(isInRoot('usr/share/zoneinfo/tzdata.zi')).toBe(true);
    expect(isInRoot('usr/share/zoneinfo/right/Europe/Berlin')).toBe(false);
    expect(isInRoot('usr/share/zoneinfo/posix/Europe/Berlin')).toBe(false);
  });

  it.each([
    ...['usr/share/doc/python3.13/copyright', 'usr/bin/perl', 'usr/sbin/iconvconfig', 'etc/inputrc'],
    ...[`${LIBRARY}/test/support/__init__.py`, `${LIBRARY}/idlelib/run.py`, `${LIBRARY}/turtle.py`],
    `${LIBRARY}/lib-dynload/_testcapi.cpython-313-x86_64-linux-gnu.so`,
    // dbm works with sqlite3; this one would need Berkeley DB.
    `${LIBRARY}/lib-dynload/_dbm.cpython-313-x86_64-linux-gnu.so`,
  ])("drops '%s'", (path) => {
    expect(isInRoot(path)).toBe(false);
  });

  it('has a package with the libraries of each module', () => {
    const list: unknown = JSON.parse(
      readFileSync(new URL('../../../eos/packages.json', import.meta.url), 'utf8'),
    );
    const names = JSON.stringify(list);
    for (const name of ['libncursesw6', 'libtinfo6', 'libreadline8t64', 'python3.13-venv', 'tzdata'])
      expect(names).toContain(`"name":"${name}","group":"stable","use":"guest"`);
  });
});
