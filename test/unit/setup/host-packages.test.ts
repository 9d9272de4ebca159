import { rmSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type FakeCommands, fakeCommands } from './fake-commands.ts';

const CALL = `
import { ensureHostPackages } from './setup/host-packages.mjs';
try { console.log(JSON.stringify(ensureHostPackages({ need: 'process' }))); }
catch (error) { console.log(error.name, error.message); process.exitCode = 1; }
`;
const AS_USER = `process.getuid = () => 1000;\n`;
const INSTALLED = 'echo "Status: install ok installed"';
/** Nothing is installed before apt-get is called. */
const AFTER_APT = `grep -q '^apt-get .*install' $LOG && ${INSTALLED}`;

describe('ensureHostPackages', () => {
  let fakes: FakeCommands;
  beforeEach(() => {
    fakes = fakeCommands();
  });
  afterEach(() => rmSync(fakes.folder, { recursive: true }));

  it('does not call apt if nothing is missing', () => {
    fakes.add('dpkg-query', INSTALLED);
    fakes.add('apt-get', 'exit 100');
    expect(fakes.run(CALL).status).toBe(0);
    expect(fakes.calls().filter((call) => call.startsWith('apt-get'))).toEqual([]);
  });

  it('treats a removed package with remaining configuration as missing', () => {
    fakes.add(
      'dpkg-query',
      `grep -q '^apt-get .*install' $LOG && ${INSTALLED} || echo "Status: deinstall ok config-files"`,
    );
    fakes.add('apt-get', 'exit 0');
    expect(fakes.run(CALL).output).toContain('"installed":["bubblewrap","python3","datamash"]');
  });

  it('reports what it installs and why, updates first, and does not prompt', () => {
    fakes.add('dpkg-query', AFTER_APT);
    fakes.add('apt-get', 'echo "frontend $DEBIAN_FRONTEND" >>$LOG');
    const { status, output } = fakes.run(CALL);
    expect(status).toBe(0);
    expect(output).toMatch(/installing bubblewrap: .+/);
    const calls = fakes.calls().filter((call) => /^(apt-get|frontend)/.test(call));
    expect(calls).toEqual([
      'apt-get -q update',
      'frontend noninteractive',
      'apt-get -q -y --no-install-recommends install bubblewrap python3 datamash',
      'frontend noninteractive',
    ]);
  });

  it('prints the exact command for a user without the permission to install', () => {
    fakes.add('dpkg-query', 'exit 1');
    fakes.add('apt-get', 'exit 0');
    fakes.add('sudo', 'exit 1');
    const { status, output } = fakes.run(AS_USER + CALL);
    expect(status).toBe(1);
    expect(output).toContain('SetupError');
    expect(output).toContain('sudo apt-get install -y --no-install-recommends bubblewrap python3');
    expect(fakes.calls().filter((call) => call.startsWith('apt-get'))).toEqual([]);
  });

  it('uses sudo if it needs no password', () => {
    fakes.add('dpkg-query', `grep -q 'apt-get .*install' $LOG && ${INSTALLED}`);
    fakes.add('apt-get', 'exit 0');
    fakes.add('sudo', 'exit 0');
    expect(fakes.run(AS_USER + CALL).status).toBe(0);
    expect(fakes.calls()).toContain(
      'sudo -n --preserve-env=DEBIAN_FRONTEND apt-get -q -y --no-install-recommends install bubblewrap python3 datamash',
    );
  });

  it('names the file with the output of apt if it fails', () => {
    fakes.add('dpkg-query', 'exit 1');
    fakes.add('apt-get', 'echo "E: Unable to fetch" >&2; exit 100');
    const { status, output } = fakes.run(CALL);
    expect(status).toBe(1);
    expect(output).toMatch(/SetupError.*E: Unable to fetch.*full log in \S+setup-failure\.log/);
  });
});
