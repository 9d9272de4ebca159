import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type CliResult,
  makeParties,
  type Parties,
  PROCESS_REFERENCE,
  processesWith,
  ROOT,
  type System,
  show,
  spawnManager,
  startSystem,
  stopProcess,
  succeeded,
} from '../harness/system.ts';

/** Every kind of bad input has a named error with an exit code, and does no damage. */

function expectError(result: CliResult, code: string, exit: number): void {
  expect(result.stderr).toMatch(new RegExp(`^${code}:`, 'm'));
  expect(result.code).toBe(exit);
}

describe('the command line', () => {
  let system: System;
  let parties: Parties;
  const cli = (...args: string[]) => system.cli(...args);

  beforeAll(async () => {
    system = await startSystem({ COCOSAI_MODE: 'process' });
    parties = await makeParties(system, {
      algorithm: 'pass\n',
      datasets: { one: '1\n' },
      reference: PROCESS_REFERENCE,
    });
    const created = await cli('enclave', 'create', 'good', '--manifest', parties.manifest);
    expect(created.code, created.stderr).toBe(0);
  });

  afterAll(async () => {
    const shown = await cli('enclave', 'show', 'good');
    const { folder } = system;
    expect(await system.stop()).toBe(0);
    // Nothing above moved the enclave.
    expect(shown.stdout).toMatch(/state\s+alive\.ready/);
    expect(processesWith(folder)).toEqual([]);
  });

  it('reports an unknown enclave', async () => {
    expectError(await cli('enclave', 'show', 'nobody'), 'ENCLAVE_NOT_FOUND', 1);
    expectError(await cli('enclave', 'stop', 'nobody'), 'ENCLAVE_NOT_FOUND', 1);
    expectError(await cli('enclave', 'watch', 'nobody'), 'ENCLAVE_NOT_FOUND', 1);
    expectError(
      await cli('data', 'nobody', 'one', system.file('one'), ...parties.trust('provider')),
      'ENCLAVE_NOT_FOUND',
      1,
    );
    expectError(await cli('actors', 'show', 'enclave/nobody'), 'ACTOR_NOT_FOUND', 1);
  });

  it('reports a used name and an invalid name', async () => {
    expectError(await cli('enclave', 'create', 'good'), 'ENCLAVE_EXISTS', 1);
    expectError(await cli('enclave', 'create', 'no/name'), 'INPUT_INVALID', 65);
  });

  it('reports a malformed manifest', async () => {
    const noJson = system.file('no.json');
    writeFileSync(noJson, '{');
    expectError(await cli('enclave', 'create', 'x', '--manifest', noJson), 'MANIFEST_INVALID', 65);
    const malformed = system.file('malformed.json');
    writeFileSync(
      malformed,
      JSON.stringify({ ...JSON.parse(readFileSync(parties.manifest, 'utf8')), extra: 1 }),
    );
    expectError(await cli('manifest', 'digest', malformed), 'MANIFEST_INVALID', 65);
    expectError(await cli('enclave', 'create', 'x', '--manifest', system.file('none')), 'FILE_NOT_FOUND', 66);
  });

  it('reports usage errors', async () => {
    expectError(await cli('nonsense'), 'USAGE', 64);
    expectError(await cli('enclave', 'create', '--nonsense'), 'USAGE', 64);
    expectError(await cli('enclave', 'create', 'x', '--vcpus', 'two'), 'USAGE', 64);
    expectError(
      await cli('attestation', 'get', 'good', '--nonce', 'xyz', '--out', system.file('e')),
      'USAGE',
      64,
    );
    expectError(await cli('keys', 'generate', '../x'), 'USAGE', 64);
  });

  it('reports a key that the manifest does not name, or not for this role', async () => {
    const file = system.file('one');
    expectError(
      await cli('data', 'good', 'one', file, ...parties.trust('stranger')),
      'KEY_NOT_IN_MANIFEST',
      77,
    );
    expectError(
      await cli('data', 'good', 'one', file, ...parties.trust('consumer')),
      'KEY_NOT_IN_MANIFEST',
      77,
    );
    expectError(await cli('run', 'good', ...parties.trust('stranger')), 'KEY_NOT_IN_MANIFEST', 77);
  });

  it('reports a key file that others can read, that is damaged, or that the passphrase does not open', async () => {
    const trust = (key: string, ...more: string[]) => [
      ...['--manifest', parties.manifest, '--policy', parties.policy, '--reference', parties.reference],
      ...['--key', system.file(key), ...more],
    ];
    const data = ['data', 'good', 'one', system.file('one')];
    copyFileSync(system.file('provider.key'), system.file('open.key'));
    chmodSync(system.file('open.key'), 0o644);
    expectError(await cli(...data, ...trust('open.key')), 'KEY_FILE_PERMISSIONS', 77);
    writeFileSync(
      system.file('damaged.key'),
      readFileSync(system.file('provider.key'), 'utf8').slice(0, -20),
      { mode: 0o600 },
    );
    expectError(await cli(...data, ...trust('damaged.key')), 'KEY_FILE_INVALID', 65);
    writeFileSync(system.file('pass'), 'right\n', { mode: 0o600 });
    writeFileSync(system.file('wrong'), 'wrong\n', { mode: 0o600 });
    const sealed = await cli(
      'keys',
      'generate',
      'sealed',
      '--out',
      system.folder,
      '--passphrase-file',
      system.file('pass'),
    );
    expect(sealed.code).toBe(0);
    expectError(await cli(...data, ...trust('sealed.key')), 'KEY_PASSPHRASE', 77);
    expectError(
      await cli(...data, ...trust('sealed.key', '--passphrase-file', system.file('wrong'))),
      'KEY_PASSPHRASE',
      77,
    );
    expectError(await cli('keys', 'generate', 'sealed', '--out', system.folder), 'FILE_EXISTS', 73);
  });

  it('reports a file that is missing or does not match the manifest', async () => {
    const provider = parties.trust('provider');
    expectError(await cli('data', 'good', 'one', system.file('none'), ...provider), 'FILE_NOT_FOUND', 66);
    expectError(await cli('data', 'good', 'two', system.file('one'), ...provider), 'INPUT_NOT_EXPECTED', 1);
    expectError(
      await cli('data', 'good', 'one', system.file('algorithm'), ...provider),
      'TRANSFER_DIGEST_MISMATCH',
      65,
    );
    expectError(await cli('data', 'good', 'one', system.folder, ...provider), 'INPUT_INVALID', 65);
    // A directory is sent as a tar, which cannot contain a socket.
    expectError(await cli('checksum', system.folder), 'ARCHIVE_UNSAFE', 65);
    expectError(await cli('result', 'verify', system.file('none')), 'FILE_NOT_FOUND', 66);
    expectError(await cli('result', 'verify', parties.manifest), 'RESULT_INVALID', 2);
  });

  it('reports a result that is not ready and an input that was already uploaded', async () => {
    const provider = parties.trust('provider');
    const out = system.file('early.cocos');
    expectError(
      await cli('result', 'get', 'good', '--out', out, ...parties.trust('consumer')),
      'RESULT_NOT_READY',
      75,
    );
    expect((await cli('data', 'good', 'one', system.file('one'), ...provider)).code).toBe(0);
    expectError(await cli('data', 'good', 'one', system.file('one'), ...provider), 'INPUT_NOT_EXPECTED', 1);
  });

  it('reports an illegal event with the legal ones', async () => {
    const address = (await cli('actors', 'list')).stdout.match(/enclave\/\w+/)?.[0] ?? '';
    const refused = await cli('actors', 'send', `${address}/computation`, 'manifest.deliver', '-o', 'json');
    expectError(refused, 'STATE_EVENT_ILLEGAL', 1);
    expect(refused.json[0]).toMatchObject({
      error: {
        code: 'STATE_EVENT_ILLEGAL',
        details: { state: 'receiving', legalEvents: ['computation.stop'] },
      },
    });
    expectError(await cli('actors', 'send', address, 'vm.exited'), 'STATE_EVENT_ILLEGAL', 1);
    expectError(
      await cli('actors', 'send', address, '{"type":"enclave.stop","extra":1}'),
      'INPUT_INVALID',
      65,
    );
  });

  it('rejects evidence that is altered, stale or for another manifest, and reports unreadable files', async () => {
    const nonce = '11'.repeat(32);
    const evidence = system.file('evidence');
    expect((await cli('attestation', 'get', 'good', '--nonce', nonce, '--out', evidence)).code).toBe(0);
    const verify = (file: string, hex: string, policy = parties.policy) =>
      cli(
        'attestation',
        'verify',
        file,
        '--policy',
        policy,
        '--reference',
        parties.reference,
        '--nonce',
        hex,
      );
    expect((await verify(evidence, nonce)).code).toBe(0);
    const stale = await verify(evidence, '22'.repeat(32));
    expect(stale.code).toBe(2);
    expect(stale.stdout).toMatch(/FAILED\s+binding\.report-data/);
    const altered = system.file('altered');
    const bytes = readFileSync(evidence);
    bytes.writeUInt8(bytes.readUInt8(bytes.length >> 1) ^ 1, bytes.length >> 1);
    writeFileSync(altered, bytes);
    expect((await verify(altered, nonce)).code).toBe(2);
    expectError(await verify(system.file('none'), nonce), 'FILE_UNREADABLE', 74);
    expectError(await verify(evidence, nonce, system.file('one')), 'POLICY_INVALID', 65);
    const other = { ...JSON.parse(readFileSync(parties.manifest, 'utf8')), name: 'another' };
    writeFileSync(system.file('other.json'), JSON.stringify(other));
    const trust = parties
      .trust('provider')
      .map((each) => (each === parties.manifest ? system.file('other.json') : each));
    const mismatch = await cli('data', 'good', 'one', system.file('one'), ...trust);
    expectError(mismatch, 'ATTEST_REJECTED', 2);
    expect(mismatch.stderr).toContain('binding.manifest');
  });

  it('rejects an agent that does not match the reference values', async () => {
    const program = system.file('altered-agent.mjs');
    copyFileSync(path.join(ROOT, 'dist/cocos-agent.js'), program);
    appendFileSync(program, '\n');
    const malicious = await startSystem({
      COCOSAI_MODE: 'process',
      COCOSAI_AGENT: program,
      COCOSAI_STATE_DIR: copyRoot(system),
    });
    try {
      expect((await malicious.cli('enclave', 'create', 'bad', '--manifest', parties.manifest)).code).toBe(0);
      const sent = await malicious.cli(
        'data',
        'bad',
        'one',
        system.file('one'),
        ...parties.trust('provider'),
      );
      expectError(sent, 'ATTEST_REJECTED', 2);
      expect(sent.stderr).toContain('launch.agent');
    } finally {
      await malicious.stop();
    }
  });
});

describe('a failing host', () => {
  it('reports that no manager is running', async () => {
    const system = await startSystem({ COCOSAI_MODE: 'process' });
    await stopProcess(system.manager);
    expectError(await system.cli('enclave', 'list'), 'MANAGER_UNAVAILABLE', 69);
    await system.stop();
  });

  it('reports that the address is in use', async () => {
    const system = await startSystem({ COCOSAI_MODE: 'process' });
    const log = system.file('second.log');
    const elsewhere = {
      ...system.environment,
      COCOSAI_STATE_DIR: system.file('second-state'),
      COCOSAI_RUN_DIR: system.file('second-run'),
      COCOSAI_LISTEN: `unix:${system.file('run', 'manager.sock')}`,
    };
    const second = spawnManager(elsewhere, log);
    await new Promise((resolve) => second.once('close', resolve));
    expect(second.exitCode).toBe(69);
    // The harness writes the log asynchronously.
    await expect.poll(() => readFileSync(log, 'utf8')).toContain('HOST_PORT_TAKEN');
    expect((await system.cli('enclave', 'list')).code).toBe(0);

    const server = net.createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const bound = server.address();
    const port = typeof bound === 'object' ? bound?.port : 0;
    const third = spawnManager({ ...elsewhere, COCOSAI_LISTEN: `tcp:127.0.0.1:${port}` }, log);
    await new Promise((resolve) => third.once('close', resolve));
    expect(third.exitCode).toBe(69);
    server.close();
    expect(await system.stop()).toBe(0);
  });

  it.each(['COCOSAI_STATE_DIR', 'COCOSAI_RUN_DIR'])(
    'reports that a folder is in use when only %s is another one, and leaves the guests of the first manager alone',
    async (setting) => {
      const system = await startSystem({ COCOSAI_MODE: 'process' });
      succeeded(await system.cli('enclave', 'create', 'kept'));
      const log = system.file('second.log');
      const second = spawnManager({ ...system.environment, [setting]: system.file('other') }, log);
      await new Promise((resolve) => second.once('close', resolve));
      expect(second.exitCode).toBe(69);
      await expect.poll(() => readFileSync(log, 'utf8')).toContain('STATE_LOCKED');
      expect((await show(system, 'kept')).state).toBe('alive.ready');
      expect(await system.stop()).toBe(0);
    },
  );

  it('reports an invalid setting', async () => {
    const system = await startSystem({ COCOSAI_MODE: 'process' });
    const log = system.file('wrong.log');
    for (const wrong of [
      { COCOSAI_MODE: 'cloud' },
      { COCOSAI_LISTEN: 'tcp:192.0.2.1:7001' },
      { COCOSAI_LISTEN: 'tls:127.0.0.1:0' },
    ]) {
      const manager = spawnManager(
        {
          ...system.environment,
          COCOSAI_STATE_DIR: system.file('second-state'),
          COCOSAI_RUN_DIR: system.file('second-run'),
          ...wrong,
        },
        log,
      );
      await new Promise((resolve) => manager.once('close', resolve));
      expect(manager.exitCode).toBe(78);
    }
    await system.stop();
  });

  it('reports that QEMU, the image or the agent program is missing', async () => {
    const empty = path.join(ROOT, 'build', 'no-programs');
    mkdirSync(empty, { recursive: true });
    const noQemu = await startSystem({ COCOSAI_MODE: 'vm', PATH: empty, COCOSAI_EOS_DIR: fakeImage(empty) });
    const created = await noQemu.cli('enclave', 'create', 'x');
    expectError(created, 'HOST_QEMU_MISSING', 69);
    await noQemu.stop();

    const noImage = await startSystem({ COCOSAI_MODE: 'vm', COCOSAI_EOS_DIR: '/nonexistent' });
    expectError(await noImage.cli('enclave', 'create', 'x'), 'HOST_IMAGE_MISSING', 69);
    await noImage.stop();

    const noAgent = await startSystem({ COCOSAI_MODE: 'process', COCOSAI_AGENT: '/nonexistent' });
    expectError(await noAgent.cli('enclave', 'create', 'x'), 'HOST_IMAGE_MISSING', 69);
    await noAgent.stop();
  });

  it('reports a full disk, by its setting', async () => {
    const system = await startSystem({ COCOSAI_MODE: 'process', COCOSAI_MIN_FREE_MIB: '1000000000' });
    expectError(await system.cli('enclave', 'create', 'x'), 'HOST_DISK_FULL', 73);
    expect(readdirSync(system.file('run'))).toEqual(['lock.json', 'manager.sock']);
    expect(await system.stop()).toBe(0);
  });

  const isRoot = process.getuid?.() === 0;
  it.skipIf(!isRoot)('reports a full disk, on a full file system (requires root to mount one)', async () => {
    const system = await startSystem({ COCOSAI_MODE: 'process' });
    const small = system.file('small');
    mkdirSync(small);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k,mode=700', 'tmpfs', small]);
    try {
      const full = await startSystem({
        COCOSAI_MODE: 'process',
        COCOSAI_STATE_DIR: small,
        COCOSAI_MIN_FREE_MIB: '0',
      });
      writeFileSync(path.join(small, 'filler'), Buffer.alloc(4096));
      fill(path.join(small, 'filler'));
      const created = await full.cli('enclave', 'create', 'x');
      expect(await full.stop()).toBe(0);
      expectError(created, 'HOST_DISK_FULL', 73);
    } finally {
      execFileSync('umount', [small]);
      await system.stop();
    }
  });
});

/** A state folder of another manager on the same emulated platform. */
function copyRoot(system: System): string {
  const folder = system.file('second-state');
  mkdirSync(folder);
  copyFileSync(system.file('state', 'emulated-root.json'), path.join(folder, 'emulated-root.json'));
  return folder;
}

/** Files with the expected names, for a host that fails before it reads their content. */
function fakeImage(folder: string): string {
  for (const name of ['bios.bin', 'vmlinuz', 'initrd.img', 'root.img', 'cmdline']) {
    writeFileSync(path.join(folder, name), Buffer.alloc(65_536));
  }
  writeFileSync(path.join(folder, 'cmdline'), 'console=ttyS0');
  return folder;
}

/** Appends until the disk is full. */
function fill(file: string): void {
  try {
    for (;;) appendFileSync(file, Buffer.alloc(1024));
  } catch {
    return;
  }
}
