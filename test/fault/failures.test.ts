import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import {
  collect,
  makeParties,
  type Parties,
  PROCESS_REFERENCE,
  processesWith,
  type System,
  show,
  startSystem,
  succeeded,
} from '../harness/system.ts';

/** Peers that die, algorithms that fail, and hosts that stop in the middle. */

/** Waits until a command has printed a word. */
async function untilSays(stream: NodeJS.ReadableStream | null, word: string): Promise<void> {
  let text = '';
  stream?.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  await expect.poll(() => text).toContain(word);
}

describe('failures in process mode', () => {
  let system: System;

  beforeEach(async () => {
    system = await startSystem({ COCOSAI_MODE: 'process' });
  });

  afterEach(async () => {
    const { folder } = system;
    await system.stop();
    expect(processesWith(folder)).toEqual([]);
    expect(existsSync(folder)).toBe(false);
    expect(readdirSync('/dev/shm').filter((name) => ids.has(name))).toEqual([]);
  });

  /** Work folders of this file's enclaves. */
  const ids = new Set<string>();

  const partiesOf = (algorithm: string, manifest: readonly string[] = []) =>
    makeParties(system, { algorithm, datasets: { one: '1\n' }, reference: PROCESS_REFERENCE, manifest });

  async function createAndFeed(parties: Parties, name: string) {
    succeeded(await system.cli('enclave', 'create', name, '--manifest', parties.manifest));
    const enclave = await show(system, name);
    ids.add(`cocosai-${enclave.address.slice('enclave/'.length)}`);
    succeeded(await system.cli('algo', name, system.file('algorithm'), ...parties.trust('provider')));
    succeeded(await system.cli('data', name, 'one', system.file('one'), ...parties.trust('provider')));
    return { ...enclave, pid: z.number().parse(enclave.context['pid']) };
  }

  async function untilRunning(address: string): Promise<void> {
    const state = async () => (await system.cli('actors', 'show', `${address}/computation`)).stdout;
    await expect.poll(state).toMatch(/state\s+running/);
  }

  it('name the end of an agent in mid-run, and touch nothing beside it', async () => {
    const parties = await partiesOf('import time\ntime.sleep(600)\n');
    const victim = await createAndFeed(parties, 'victim');
    const other = await createAndFeed(parties, 'other');
    await untilRunning(victim.address);
    await untilRunning(other.address);
    const following = system.spawnCli('run', 'victim', ...parties.trust('consumer'));
    const run = collect(following);
    const watching = system.spawnCli('enclave', 'watch', 'victim');
    const watch = collect(watching);
    // The first is printed once the session stands.
    const begun = [untilSays(following.stderr, 'EMULATED'), untilSays(watching.stdout, 'alive.ready')];
    await Promise.all(begun);

    process.kill(victim.pid, 'SIGKILL');

    expect(await run).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^VM_EXITED: .*SIGKILL.*console\.log/m),
    });
    expect(await watch).toMatchObject({ code: 1, stdout: expect.stringContaining('VM_EXITED') });
    const failed = await show(system, 'victim');
    expect(failed.state).toBe('failed.settled');
    expect(failed.context['cause']).toMatchObject({ code: 'VM_EXITED', details: { signal: 'SIGKILL' } });
    expect(processesWith(`cocosai-${victim.address.slice('enclave/'.length)}`)).toEqual([]);
    expect(await show(system, 'other')).toMatchObject({ state: 'alive.ready', context: { pid: other.pid } });
    const computation = await system.cli('actors', 'show', `${other.address}/computation`);
    expect(computation.stdout).toMatch(/state\s+running/);
  });

  it('name what an algorithm did wrong', async () => {
    const parties = await partiesOf('import sys\nprint("bad", file=sys.stderr)\nsys.exit(3)\n');
    await createAndFeed(parties, 'wrong');
    const run = await system.cli('run', 'wrong', ...parties.trust('consumer'));
    expect(run).toMatchObject({ code: 1, stderr: expect.stringMatching(/^ALGORITHM_FAILED: .*3/m) });
    expect(run.stderr).toContain('stderr: bad');
    const out = system.file('none.cocos');
    const result = await system.cli('result', 'get', 'wrong', '--out', out, ...parties.trust('consumer'));
    expect(result).toMatchObject({ code: 1, stderr: expect.stringMatching(/^COMPUTATION_FAILED/m) });
    expect(existsSync(out)).toBe(false);
  });

  it('name the limit that an algorithm hit', async () => {
    const parties = await partiesOf('while True: pass\n', ['--limit', 'seconds=1']);
    await createAndFeed(parties, 'slow');
    const run = await system.cli('run', 'slow', ...parties.trust('consumer'));
    expect(run).toMatchObject({ code: 1, stderr: expect.stringMatching(/^ALGORITHM_LIMIT: .*time/m) });
  });

  it('leave nothing when the manager is told to stop in mid-run', async () => {
    const parties = await partiesOf('import time\ntime.sleep(600)\n');
    const { address, pid } = await createAndFeed(parties, 'busy');
    await untilRunning(address);
    const watching = system.spawnCli('enclave', 'watch', 'busy');
    const watch = collect(watching);
    await new Promise((resolve) => watching.stdout?.once('data', resolve));
    system.manager.kill('SIGTERM');
    expect(await new Promise((resolve) => system.manager.once('exit', resolve))).toBe(0);
    expect(() => process.kill(pid, 0)).toThrow();
    expect(readdirSync(system.file('run'))).toEqual([]);
    expect((await watch).stdout).toContain('stopped.settled');
  });

  it('make no second computation of one that was delivered a manifest', async () => {
    const parties = await partiesOf('pass\n');
    succeeded(await system.cli('enclave', 'create', 'late'));
    const { address } = await show(system, 'late');
    ids.add(`cocosai-${address.slice('enclave/'.length)}`);
    succeeded(await system.cli('manifest', 'send', 'late', parties.manifest));
    const again = await system.cli('manifest', 'send', 'late', parties.manifest);
    expect(again).toMatchObject({ code: 1, stderr: expect.stringMatching(/^STATE_EVENT_ILLEGAL/m) });
    succeeded(await system.cli('data', 'late', 'one', system.file('one'), ...parties.trust('provider')));
  });
});

describe('the control service over TLS', () => {
  it('serves clients with a certificate of its authority, and nobody else', async () => {
    const system = await startSystem({ COCOSAI_MODE: 'process' });
    const folder = system.file('tls');
    mkdirSync(folder);
    const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
    for (const authority of ['ca', 'other']) {
      openssl(
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:P-256',
        '-nodes',
        '-days',
        '2',
        '-keyout',
        `${authority}.key`,
        '-out',
        `${authority}.pem`,
        '-subj',
        `/CN=${authority}`,
      );
    }
    for (const [name, authority] of [
      ['server', 'ca'],
      ['client', 'ca'],
      ['stranger', 'other'],
    ] as const) {
      openssl(
        'req',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:P-256',
        '-nodes',
        '-keyout',
        `${name}.key`,
        '-out',
        `${name}.csr`,
        '-subj',
        `/CN=${name}`,
        '-addext',
        'subjectAltName=IP:127.0.0.1',
      );
      openssl(
        'x509',
        '-req',
        '-in',
        `${name}.csr`,
        '-CA',
        `${authority}.pem`,
        '-CAkey',
        `${authority}.key`,
        '-days',
        '2',
        '-copy_extensions',
        'copy',
        '-out',
        `${name}.pem`,
      );
    }
    const at = (name: string) => system.file('tls', name);
    const port = 20_000 + (process.pid % 20_000);
    const address = `tls:127.0.0.1:${port}`;
    const secured = await startSystem({
      COCOSAI_MODE: 'process',
      COCOSAI_LISTEN: address,
      COCOSAI_MANAGER: address,
      COCOSAI_TLS_CERT: at('server.pem'),
      COCOSAI_TLS_KEY: at('server.key'),
      COCOSAI_TLS_CA: at('ca.pem'),
    });
    try {
      const as = (name: string) => [
        '--tls-cert',
        at(`${name}.pem`),
        '--tls-key',
        at(`${name}.key`),
        '--tls-ca',
        at('ca.pem'),
      ];
      succeeded(await secured.cli(...as('client'), 'actors', 'list'));
      const stranger = await secured.cli(...as('stranger'), 'actors', 'list');
      expect(stranger).toMatchObject({ code: 69, stderr: expect.stringMatching(/^MANAGER_UNAVAILABLE/m) });
      const plain = await secured.cli('--manager', `tcp:127.0.0.1:${port}`, 'actors', 'list');
      expect(plain.code).toBe(69);
      const none = await secured.cli('--tls-cert', at('none.pem'), 'actors', 'list');
      expect(none).toMatchObject({ code: 78, stderr: expect.stringMatching(/^CONFIG_INVALID/m) });
    } finally {
      expect(await secured.stop()).toBe(0);
      await system.stop();
    }
  });
});

describe('a watch', () => {
  it('goes on after a sequence number without a gap or a repetition, and starts anew where it cannot', async () => {
    const system = await startSystem({ COCOSAI_MODE: 'process' });
    try {
      const Item = z.union([
        z.object({ transition: z.looseObject({ sequence: z.number(), toState: z.string() }) }),
        z.object({ position: z.number() }),
        z.object({ snapshot: z.looseObject({ address: z.string() }) }),
      ]);
      const watchFrom = async (after: number) => {
        const child = system.spawnCli('actors', 'watch', 'enclave/', '--after', String(after), '-o', 'json');
        const ended = collect(child);
        // Everything kept is written at once, before anything new.
        if (child.stdout !== null) await once(child.stdout, 'data');
        await new Promise((resolve) => setTimeout(resolve, 1_000));
        child.kill('SIGTERM');
        return (await ended).json.map((each) => Item.parse(each));
      };
      succeeded(await system.cli('enclave', 'create', 'watched'));
      succeeded(await system.cli('enclave', 'stop', 'watched'));
      const sequences = (items: z.infer<typeof Item>[]) =>
        items.flatMap((item) => ('transition' in item ? [item.transition.sequence] : []));
      const all = sequences(await watchFrom(1));
      expect(all.length).toBeGreaterThan(8);
      const middle = all[4] ?? 0;
      expect(sequences(await watchFrom(middle))).toEqual(all.slice(5));
      // A number that this run never gave is none to go on from.
      const anew = await watchFrom(10 ** 15);
      expect(anew.some((item) => 'snapshot' in item)).toBe(true);
      expect(sequences(anew)).toEqual([]);
    } finally {
      await system.stop();
    }
  });
});
