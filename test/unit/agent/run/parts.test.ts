import { spawnSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createRunGroup } from '../../../../src/agent/run/cgroup.ts';
import { exceedsDisk } from '../../../../src/agent/run/disk-usage.ts';
import { planLimits } from '../../../../src/agent/run/limits.ts';
import { LogBuffer } from '../../../../src/agent/run/log-buffer.ts';
import { LogLines } from '../../../../src/agent/run/log-lines.ts';
import { seccompFilter } from '../../../../src/agent/run/seccomp.ts';
import { codeOf } from '../../crypto/support.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cocos-parts-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('LogLines', () => {
  const lines = (...chunks: (string | Uint8Array)[]) => {
    const out: string[] = [];
    const log = new LogLines((stream, line) => out.push(`${stream}: ${line}`));
    for (const chunk of chunks) log.write('stdout', typeof chunk === 'string' ? Buffer.from(chunk) : chunk);
    log.end();
    return out;
  };

  it('joins lines across chunks, keeps empty lines, and emits the last line without a newline', () => {
    expect(lines('a', 'b\n\nc\r\nd')).toEqual(['stdout: ab', 'stdout: ', 'stdout: c', 'stdout: d']);
    expect(lines('a\n')).toEqual(['stdout: a']);
    expect(lines()).toEqual([]);
  });

  it('joins a character across chunks', () => {
    const bytes = Buffer.from('€\n');
    expect(lines(bytes.subarray(0, 1), bytes.subarray(1))).toEqual(['stdout: €']);
  });

  it('cuts a line at 8 KiB and reports how much was cut', () => {
    expect(lines('x'.repeat(8192), '\n')).toEqual([`stdout: ${'x'.repeat(8192)}`]);
    expect(lines('x'.repeat(8000), 'x'.repeat(202), 'yyy\nz')).toEqual([
      `stdout: ${'x'.repeat(8192)} [13 more bytes were cut]`,
      'stdout: z',
    ]);
  });

  it('neutralizes escape sequences and keeps tabs', () => {
    expect(lines('\u001b[2Jx\ty\u0007\n')).toEqual(['stdout: \uFFFD[2Jx\ty\uFFFD']);
  });

  it('keeps the head and the tail of a flood, with the count of the lines between', () => {
    const out: string[] = [];
    const log = new LogLines((stream, line) => out.push(`${stream}: ${line}`));
    log.write('stderr', Buffer.from('Traceback\nValueError: the column price is missing\n'));
    for (let i = 0; i < 12_000; i += 1) log.write('stdout', Buffer.from(`epoch ${i}\n`));
    log.write('stderr', Buffer.from('Traceback\nValueError: the column price is missing\n'));
    log.end();
    expect(out.length).toBeLessThanOrEqual(10_004);
    expect(out.slice(0, 3)).toEqual([
      'stderr: Traceback',
      'stderr: ValueError: the column price is missing',
      'stdout: epoch 0',
    ]);
    expect(out).toContain('stdout: epoch 11999');
    expect(out.at(-1)).toBe('stderr: ValueError: the column price is missing');
    const [, between] = /^stdout: \[(\d+) lines are left out here\]$/m.exec(out.join('\n')) ?? [];
    const epochs = out.filter((line) => line.startsWith('stdout: epoch')).length;
    expect(epochs + Number(between)).toBe(12_000);
  });

  it('keeps the tail of each stream, however much the other one prints', () => {
    const out: string[] = [];
    const log = new LogLines((stream, line) => out.push(`${stream}: ${line}`));
    log.write('stdout', Buffer.from('a\n'.repeat(9000)));
    log.write('stderr', Buffer.from('ValueError\n'));
    log.write('stdout', Buffer.from('a\n'.repeat(9000)));
    log.end();
    expect(out).toContain('stderr: ValueError');
  });
});

describe('LogBuffer', () => {
  it('keeps the head and the tail for consumers that follow late', () => {
    const logs = new LogBuffer();
    for (let i = 0; i < 20_000; i += 1) logs.add('stdout', String(i));
    const lines = logs.lines().map(({ line }) => line);
    expect(lines[0]).toBe('0');
    expect(lines.at(-1)).toBe('19999');
    const gap = lines.find((line) => line.startsWith('['));
    expect(lines.length - 1 + Number(/\d+/.exec(gap ?? '')?.[0])).toBe(20_000);
  });

  it('is bounded in bytes', () => {
    const logs = new LogBuffer();
    for (let i = 0; i < 5000; i += 1) logs.add('stdout', 'x'.repeat(8192));
    const bytes = logs.lines().reduce((sum, { line }) => sum + line.length, 0);
    expect(bytes).toBeLessThan(10 * 1024 * 1024);
  });
});

describe('exceedsDisk', () => {
  it('counts files in all folders', async () => {
    mkdirSync(join(folder, 'a/b'), { recursive: true });
    writeFileSync(join(folder, 'x'), Buffer.alloc(4096));
    writeFileSync(join(folder, 'a/b/y'), Buffer.alloc(4096));
    expect(await exceedsDisk(folder, 8192)).toBe(false);
    expect(await exceedsDisk(folder, 8191)).toBe(true);
  });

  it('counts a sparse file with its length', async () => {
    writeFileSync(join(folder, 'x'), '');
    truncateSync(join(folder, 'x'), 1_000_000_000);
    expect(await exceedsDisk(folder, 999_999_999)).toBe(true);
  });

  it.each([
    ['not UTF-8', Buffer.of(0x63, 0xe9)],
    ['not ASCII', Buffer.from('caf\u00e9')],
  ])('counts files and the content of folders whose names are %s', async (_what, name) => {
    const child = Buffer.concat([Buffer.from(`${folder}/`), name]);
    writeFileSync(child, Buffer.alloc(8192));
    expect(await exceedsDisk(folder, 8191)).toBe(true);
    rmSync(child);
    mkdirSync(child);
    writeFileSync(Buffer.concat([child, Buffer.from('/x')]), Buffer.alloc(8192));
    expect(await exceedsDisk(folder, 8191)).toBe(true);
  });

  it('counts files whose paths are longer than any call takes', async () => {
    // Each folder is made from within the one above it, since its whole path cannot be named.
    const script = `
import os, sys
os.chdir(sys.argv[1])
for _ in range(40):
    os.mkdir("d" * 250)
    os.chdir("d" * 250)
open("x", "wb").write(bytes(8192))
`;
    const made = spawnSync('python3', ['-c', script, folder], { encoding: 'utf8' });
    expect(made.status, made.stderr).toBe(0);
    expect(await exceedsDisk(folder, 8192)).toBe(false);
    expect(await exceedsDisk(folder, 8191)).toBe(true);
    spawnSync('rm', ['-r', folder]);
    mkdirSync(folder);
  });

  it('does not follow links and treats a missing folder as empty', async () => {
    symlinkSync('/usr', join(folder, 'usr'));
    expect(await exceedsDisk(folder, 10_000)).toBe(false);
    expect(await exceedsDisk(join(folder, 'gone'), 0)).toBe(false);
  });
});

describe('DiskUsage', () => {
  it('counts a file that has no name any more but is open, on a file system of its own', () => {
    const program = ['--import', 'tsx', join(import.meta.dirname, 'unlinked-file.ts'), '/mnt'];
    const place = ['--dev-bind', '/', '/', '--size', String(64 * 2 ** 20), '--tmpfs', '/mnt'];
    const run = spawnSync('bwrap', [...place, process.execPath, ...program], { encoding: 'utf8' });
    expect(run.status, run.stderr).toBe(0);
    expect(JSON.parse(run.stdout)).toEqual({ before: false, own: true, shared: false });
  });
});

describe('createRunGroup', () => {
  const limits = { memoryBytes: 1 << 28, processes: 20 };

  it('sets the limits of a fresh group below cocos and enables the controllers', async () => {
    writeFileSync(join(folder, 'cgroup.controllers'), 'cpuset cpu io memory pids\n');
    const made = await createRunGroup(limits, folder);
    if (!('group' in made)) return expect.fail(made.reason);
    expect(readFileSync(join(folder, 'cgroup.subtree_control'), 'utf8')).toBe('+memory +pids');
    expect(readFileSync(join(folder, 'cocos/cgroup.subtree_control'), 'utf8')).toBe('+memory +pids');
    const run = readdirSync(join(folder, 'cocos')).find((name) => name.startsWith('run-'));
    const path = join(folder, 'cocos', run ?? '');
    const value = (file: string) => readFileSync(join(path, file), 'utf8');
    expect(value('memory.max')).toBe('268435456');
    expect(value('memory.swap.max')).toBe('0');
    expect(value('memory.oom.group')).toBe('1');
    expect(value('pids.max')).toBe('20');
    await made.group.add(4711);
    expect(value('cgroup.procs')).toBe('4711');
    expect(await made.group.hit()).toBeUndefined();
    writeFileSync(join(path, 'memory.events'), 'low 0\nhigh 0\nmax 9\noom 1\noom_kill 0\noom_group_kill 0\n');
    writeFileSync(join(path, 'pids.events'), 'max 0\n');
    expect(await made.group.hit()).toBeUndefined();
    writeFileSync(join(path, 'pids.events'), 'max 2\n');
    expect(await made.group.hit()).toBe('processes');
    writeFileSync(join(path, 'memory.events'), 'low 0\nhigh 0\nmax 9\noom 1\noom_kill 3\noom_group_kill 1\n');
    expect(await made.group.hit()).toBe('memory');
  });

  it.each([
    ['there is no cgroup v2', undefined, /no cgroup v2/],
    ['the memory controller is missing', 'cpu pids\n', /memory controller/],
    ['the pids controller is missing', 'memory\n', /pids controller/],
  ])('reports that %s', async (_what, controllers, reason) => {
    if (controllers !== undefined) writeFileSync(join(folder, 'cgroup.controllers'), controllers);
    const made = await createRunGroup(limits, folder);
    expect('reason' in made && made.reason).toMatch(reason);
  });

  it('reports missing write access', async () => {
    writeFileSync(join(folder, 'cgroup.controllers'), 'memory pids\n');
    writeFileSync(join(folder, 'cocos'), 'a file where the folder must be');
    const made = await createRunGroup(limits, folder);
    expect('reason' in made && made.reason).toMatch(/not writable/);
  });
});

describe('planLimits', () => {
  const limits = { seconds: 1, memoryMiB: 100, diskMiB: 10, processes: 5 };
  const overhead = { memoryMiB: 28, processes: 3 };
  const here = { prlimit: '/bin/sh' };

  it('leaves memory and processes to the control group if there is one', async () => {
    const plan = await planLimits(limits, overhead, undefined, here);
    expect(plan).toEqual({
      launcher: ['/bin/sh', '--fsize=10485760', '--core=0', '--'],
      enforced: ['time', 'disk', 'memory', 'processes'],
      notEnforced: [],
    });
  });

  it('sets resource limits without a group, including the needs of the interpreter, and reports what is not enforced', async () => {
    const plan = await planLimits(limits, overhead, 'no group', here);
    expect(plan.launcher).toContain(`--data=${128 * 1024 * 1024}`);
    expect(plan.launcher).toContain('--nproc=12');
    expect(plan.enforced).toEqual(['time', 'disk', 'memory of each process', 'processes']);
    expect(plan.notEnforced).toEqual(['memory of all processes together: no group']);
  });

  it('reports memory and processes as not enforced without group and prlimit', async () => {
    const plan = await planLimits(limits, overhead, 'no group', { prlimit: '/no/prlimit' });
    expect(plan.launcher).toEqual([]);
    expect(plan.enforced).toEqual(['time', 'disk']);
    expect(plan.notEnforced).toEqual(["memory and processes: no group, and '/no/prlimit' is missing"]);
  });
});

/** Interprets the filter as classic BPF, for calls that no test can make. */
function judge(program: Uint8Array, call: { arch?: number; nr: number; args?: readonly number[] }): number {
  const view = new DataView(program.buffer);
  const data = new Map([
    [0, call.nr],
    [4, call.arch ?? 0xc000003e],
  ]);
  for (const [i, value] of (call.args ?? []).entries()) data.set(16 + 8 * i, value);
  let accumulator = 0;
  for (let at = 0; ; at += 1) {
    const [code, jt, jf, k] = [
      view.getUint16(at * 8, true),
      view.getUint8(at * 8 + 2),
      view.getUint8(at * 8 + 3),
      view.getUint32(at * 8 + 4, true),
    ];
    if (code === 0x20) accumulator = data.get(k) ?? 0;
    else if (code === 0x15) at += accumulator === k ? jt : jf;
    else if (code === 0x35) at += accumulator >= k ? jt : jf;
    else if (code === 0x45) at += (accumulator & k) !== 0 ? jt : jf;
    else if (code === 0x06) return k;
    else throw new Error(`unknown code ${code}`);
  }
}

describe('seccompFilter', () => {
  const program = seccompFilter('x64');
  const ALLOW = 0x7fff0000;
  const errno = (number: number) => 0x00050000 + number;

  it('kills a process of another architecture, whose call numbers differ', () => {
    expect(judge(program, { arch: 0x40000003, nr: 1 })).toBe(0x80000000);
  });

  it.each([
    ['read', { nr: 0 }, ALLOW],
    ['execve', { nr: 59 }, ALLOW],
    ['clone for a thread', { nr: 56, args: [0x003d0f00] }, ALLOW],
    ['clone of a user namespace', { nr: 56, args: [0x10000000] }, errno(1)],
    ['clone of a network namespace', { nr: 56, args: [0x40000000] }, errno(1)],
    ['clone3', { nr: 435 }, errno(38)],
    ['an AF_UNIX socket', { nr: 41, args: [1, 1] }, ALLOW],
    ['an AF_VSOCK socket', { nr: 41, args: [40, 1] }, errno(97)],
    ['an AF_INET socket pair', { nr: 53, args: [2, 1] }, errno(97)],
    ['an x32 call', { nr: 0x40000000 + 1 }, errno(38)],
    ['a terminal query', { nr: 16, args: [0, 0x5401] }, ALLOW],
    ['terminal injection', { nr: 16, args: [0, 0x5412] }, errno(1)],
    ['mount', { nr: 165 }, errno(1)],
    ['the last of the list', { nr: 153 }, errno(1)],
  ])('judges %s', (_what, call, verdict) => {
    expect(judge(program, call)).toBe(verdict);
  });

  it('is refused for another architecture', () => {
    expect(codeOf(() => seccompFilter('arm64'))).toBe('SANDBOX_UNAVAILABLE');
  });
});
