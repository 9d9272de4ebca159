import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { type RunRequest, runAlgorithm } from '../../../../src/agent/run/sandbox.ts';
import { codeOfAsync } from '../../crypto/support.ts';
import { Bench, canRun, DEFAULT_LIMITS } from './support.ts';

const bench = new Bench();
afterAll(() => bench.clear());
const python = (source: string, change?: Parameters<Bench['run']>[2]) => bench.run('python', source, change);

describe.skipIf(!canRun)('runAlgorithm', () => {
  it('passes datasets and arguments in, and results, log lines and the exit code out', async () => {
    const source = `
import os, sys
total = sum(int(open(os.environ['COCOS_DATASETS'] + '/' + n).read()) for n in sys.argv[1:])
open(os.environ['COCOS_RESULTS'] + '/sum', 'w').write(str(total))
print('summed', len(sys.argv) - 1)
print('to the other', file=sys.stderr)
print(os.getcwd(), os.getuid(), sorted(os.environ))
sys.exit(3)
`;
    const run = await python(source, { data: { 'a.txt': '40', b: '2' }, arguments: ['a.txt', 'b'] });
    expect(run.outcome).toMatchObject({ exitCode: 3, signal: null });
    expect(run.outcome.limit).toBeUndefined();
    expect(run.outcome.runtime).toMatch(/^python 3\.\d+/);
    expect(readFileSync(join(run.results, 'sum'), 'utf8')).toBe('42');
    expect(run.stdout[0]).toBe('summed 2');
    expect(run.stderr).toEqual(['to the other']);
    expect(run.stdout[1]).toBe(
      "/cocos 65534 ['COCOS_DATASETS', 'COCOS_RESULTS', 'HOME', 'LANG', 'LOGNAME', 'PATH', 'PWD', 'USER']",
    );
  });

  it('names its user', async () => {
    expect((await python('import getpass; print(getpass.getuser())')).stdout).toEqual(['nobody']);
  });

  it('isolates the agent: no environment, descriptors, capabilities or new privileges are inherited', async () => {
    process.env['COCOS_CANARY'] = 'canary';
    const run = await python(`
import os
print(os.environ.get('COCOS_CANARY'))
print(sorted(int(f) for f in os.listdir('/proc/self/fd'))[:4])
print([l.split()[1] for l in open('/proc/self/status') if l.startswith(('CapEff', 'CapBnd', 'NoNewPrivs', 'Seccomp:'))])
print(sorted(int(p) for p in os.listdir('/proc') if p.isdigit()) [0] == 1, len([p for p in os.listdir('/proc') if p.isdigit()]) < 6)
`);
    delete process.env['COCOS_CANARY'];
    expect(run.stdout).toEqual([
      'None',
      '[0, 1, 2, 3]',
      "['0000000000000000', '0000000000000000', '1', '2']",
      'True True',
    ]);
  });

  it('runs in separate namespaces', async () => {
    const kinds = ['user', 'mnt', 'pid', 'net', 'ipc', 'uts'];
    const run = await python(`
import os
for k in ${JSON.stringify(kinds)}: print(os.readlink('/proc/self/ns/' + k))
`);
    const own = kinds.map((kind) =>
      execFileSync('readlink', [`/proc/self/ns/${kind}`])
        .toString()
        .trim(),
    );
    for (const [i, namespace] of run.stdout.entries()) expect(namespace).not.toBe(own[i]);
    expect(run.stdout).toHaveLength(kinds.length);
  });

  it('hides all files of the host except the system programs', async () => {
    const secret = join(bench.folder, 'secret');
    writeFileSync(secret, 'x', { mode: 0o644 });
    const paths = [
      '/root',
      '/home',
      '/etc/passwd',
      '/etc/shadow',
      '/etc/hostname',
      '/sys',
      '/var',
      '/run',
      '/work',
      '/boot',
      secret,
      '/dev/vsock',
      '/dev/mem',
      '/dev/vda',
    ];
    const run = await python(`
import os
print([p for p in ${JSON.stringify(paths)} if os.path.lexists(p)])
print(sorted(os.listdir('/')))
`);
    expect(run.stdout[0]).toBe('[]');
    expect(run.stdout[1]).toMatch(
      /^\['bin', 'cocos', 'dev', ('etc', )?'lib', ('lib64', )?'proc', ('sbin', )?'tmp', 'usr'\]$/,
    );
  });

  it('allows writes only in the results, /tmp and /dev/shm', async () => {
    const run = await python(
      `
import os
def attempt(path):
  try:
    open(path, 'w').write('x')
    return True
  except OSError as e:
    return e.errno in (1, 13, 30) and False
for p in ['/cocos/datasets/a', '/cocos/datasets/new', '/cocos/algorithm', '/cocos/x', '/x', '/usr/x', '/dev/x', '/proc/sys/kernel/hostname', '/cocos/results/x', '/tmp/x', '/dev/shm/x']:
  if attempt(p): print(p)
try:
  os.remove('/cocos/datasets/a')
except OSError: print('kept')
`,
      { data: { a: 'original' } },
    );
    expect(run.stdout).toEqual(['/cocos/results/x', '/tmp/x', '/dev/shm/x', 'kept']);
    const data = readdirSync(join(run.results, '..')).find((name) => name === 'data-a');
    expect(readFileSync(join(run.results, '..', data ?? ''), 'utf8')).toBe('original');
  });

  it('allows only local sockets: no network and no vsock', async () => {
    const run = await python(`
import errno, socket
for name, family in [('inet', 2), ('inet6', 10), ('netlink', 16), ('packet', 17), ('vsock', 40), ('alg', 38), ('bluetooth', 31)]:
  try:
    socket.socket(family, socket.SOCK_STREAM)
    print(name, 'opened')
  except OSError as e:
    print(name, errno.errorcode[e.errno])
a, b = socket.socketpair()
a.send(b'x'); print('unix', b.recv(1))
print(len(open('/proc/net/dev').read().splitlines()))
`);
    const families = ['inet', 'inet6', 'netlink', 'packet', 'vsock', 'alg', 'bluetooth'];
    expect(run.stdout).toEqual([...families.map((name) => `${name} EAFNOSUPPORT`), "unix b'x'", '3']);
  });

  it('denies the filtered system calls, also to children and by their x32 numbers', async () => {
    const calls = {
      unshare_user: [272, 0x10000000],
      mount: [165, 0, 0, 0, 0, 0],
      ptrace: [101, 0, 0, 0, 0],
      bpf: [321, 0, 0, 0],
      keyctl: [250, 0, 0],
      io_uring_setup: [425, 1, 0],
      userfaultfd: [323, 0],
      perf_event_open: [298, 0, 0, 0, 0, 0],
      clone_newuser: [56, 0x10000011, 0, 0, 0, 0],
      process_vm_readv: [310, 1, 0, 0, 0, 0, 0],
      kexec_load: [246, 0, 0, 0, 0],
      tiocsti: [16, 0, 0x5412, 0],
    };
    const run = await python(`
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
for name, args in ${JSON.stringify(calls)}.items():
  ctypes.set_errno(0)
  r = libc.syscall(*[ctypes.c_long(a) for a in args])
  print(name, r, errno.errorcode.get(ctypes.get_errno()))
for nr in (435, 0x40000000 + 41):
  ctypes.set_errno(0)
  libc.syscall(ctypes.c_long(nr), ctypes.c_long(0), ctypes.c_long(0), ctypes.c_long(0))
  print(errno.errorcode.get(ctypes.get_errno()))
`);
    expect(run.stdout).toEqual([...Object.keys(calls).map((name) => `${name} -1 EPERM`), 'ENOSYS', 'ENOSYS']);
  });

  it('supports threads, processes and shared memory', async () => {
    const run = await python(`
import multiprocessing, subprocess, threading
t = threading.Thread(target=print, args=('thread',)); t.start(); t.join()
print(subprocess.run(['echo', 'child'], capture_output=True, text=True).stdout.strip())
with multiprocessing.Pool(2) as pool: print(pool.map(abs, [-1, -2]))
`);
    expect(run.stdout).toEqual(['thread', 'child', '[1, 2]']);
  });

  it('kills all processes of the run at the time limit', async () => {
    const marker = `cocos-marker-${process.pid}`;
    const run = await python(
      `
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, '-c', 'import os,time; os.setsid(); time.sleep(3600)', ${JSON.stringify(marker)}])
print('started'); time.sleep(3600)
`,
      { limits: { ...DEFAULT_LIMITS, seconds: 4 } },
    );
    expect(run.outcome).toMatchObject({ exitCode: null, signal: 'SIGKILL', limit: 'time' });
    expect(run.stdout).toEqual(['started']);
    expect(execFileSync('ps', ['-eo', 'args']).toString()).not.toContain(marker);
  });

  it('ends when its signal aborts and does not start after that', async () => {
    const abort = new AbortController();
    const onLog = () => abort.abort();
    expect(
      await codeOfAsync(() =>
        python("print('up')\nimport time; time.sleep(60)", { signal: abort.signal, onLog }),
      ),
    ).toBe('CANCELLED');
    expect(await codeOfAsync(() => python('print(1)', { signal: abort.signal }))).toBe('CANCELLED');
  });

  it('enforces the memory limit and reports its scope', async () => {
    const run = await python(
      `
try:
  x = bytearray(400 * 1024 * 1024); print('got it')
except MemoryError: print('refused')
`,
      { limits: { ...DEFAULT_LIMITS, memoryMiB: 100 } },
    );
    expect(run.stdout).not.toContain('got it');
    const { enforced, notEnforced, limit } = run.outcome;
    if (enforced.includes('memory')) expect(limit).toBe('memory');
    else {
      expect(run.stdout).toEqual(['refused']);
      expect(enforced).toContain('memory of each process');
      expect(notEnforced.join()).toMatch(/memory of all processes together: .*cgroup/);
    }
  });

  it('limits /tmp and /dev/shm, which are in memory', async () => {
    const run = await python(`
for d in ('/tmp', '/dev/shm'):
  n = 0
  try:
    while n < 64:
      open(f'{d}/{n}', 'wb').write(bytes(1024 * 1024)); n += 1
    print('unbounded')
  except OSError as e: print(n <= 16, e.errno)
`);
    expect(run.stdout).toEqual(['True 28', 'True 28']);
  });

  it('limits a fork bomb', async () => {
    const run = await python(
      `
import os, time
n = 0
try:
  while n < 300:
    if os.fork() == 0: time.sleep(30); os._exit(0)
    n += 1
except OSError as e: print(n <= 24, e.errno)
`,
      { limits: { ...DEFAULT_LIMITS, processes: 20 } },
    );
    expect(run.outcome.enforced).toContain('processes');
    expect(run.stdout).toEqual(['True 11']);
    expect(run.outcome.exitCode).toBe(0);
  });

  it.each([
    ['one large file', "open('/cocos/results/f', 'wb').write(bytes(30 << 20))"],
    ['a sparse file', "open('/cocos/results/f', 'wb').truncate(1 << 40)"],
    ['many files', "[open(f'/cocos/results/{i}', 'wb').write(bytes(1 << 20)) for i in range(30)]"],
    [
      'many files while it waits',
      "[open(f'/cocos/results/{i}', 'wb').write(bytes(1 << 20)) for i in range(30)]\nimport time; time.sleep(30)",
    ],
  ])('enforces the disk limit against %s', async (what, source) => {
    const run = await python(`import signal; signal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n${source}`);
    expect(run.outcome.limit).toBe('disk');
    if (what.endsWith('waits')) expect(run.outcome.exitCode).toBeNull();
  });

  it('reports the signal encoded in an exit code', async () => {
    const run = await python('import os; os.kill(os.getpid(), 11)');
    expect(run.outcome).toMatchObject({ exitCode: 139, signal: 'SIGSEGV' });
  });

  it('limits a flood of log lines', async () => {
    const run = await python("for i in range(10020): print(i)\nprint('x' * 20000, end='')");
    expect(run.stdout).toHaveLength(9_001);
    expect(run.stdout[8_000]).toBe('[1021 lines are left out here]');
    expect(run.stdout.at(-1)).toMatch(/^x+ \[\d+ more bytes were cut\]$/);
  });
});

describe.skipIf(!canRun)('runAlgorithm with python', () => {
  it('runs main.py of an archive with the packages in it', async () => {
    const source = join(bench.folder, 'project');
    mkdirSync(join(source, 'vendored'), { recursive: true });
    writeFileSync(
      join(source, 'main.py'),
      "import vendored, sys\nif __name__ == '__main__': print(vendored.ANSWER, sys.argv[1:])\n",
    );
    writeFileSync(join(source, 'vendored/__init__.py'), 'ANSWER = 42\n');
    const tar = execFileSync('tar', ['-C', source, '-cf', '-', '.']);
    const run = await bench.run('python', tar, { arguments: ['x'] });
    expect(run.stdout).toEqual(["42 ['x']"]);
    expect(run.outcome.exitCode).toBe(0);
    expect(readdirSync(join(run.results, '..')).sort()).toEqual(['algorithm', 'results']);
  });

  it('imports the standard library only', async () => {
    const run = await python(`
import csv, json, math, statistics, sys
print([p for p in sys.path if 'packages' in p])
exit(0)
`);
    expect(run.stdout).toEqual(['[]']);
  });

  it.each<[string, () => Uint8Array | string, string]>([
    [
      'an archive without main.py',
      () => execFileSync('tar', ['-C', '/usr/share/zoneinfo', '-cf', '-', 'UTC', '--dereference']),
      'ALGORITHM_INVALID',
    ],
    [
      'an archive with a link',
      () => execFileSync('tar', ['-C', '/usr', '-cf', '-', 'bin/awk']),
      'ARCHIVE_UNSAFE',
    ],
    ['a binary file', () => Uint8Array.of(1, 0, 2), 'ALGORITHM_INVALID'],
  ])('refuses %s', async (_what, make, code) => {
    expect(await codeOfAsync(() => bench.run('python', make()))).toBe(code);
  });

  it('reports an error of the program as its exit code and log', async () => {
    const run = await python('this is no python');
    expect(run.outcome.exitCode).toBe(1);
    expect(run.stderr.join('\n')).toContain('SyntaxError');
  });
});

describe.skipIf(!canRun)('runAlgorithm with a binary', () => {
  it('runs an ELF program with its arguments', async () => {
    const run = await bench.run('binary', readFileSync('/usr/bin/cat'), {
      arguments: ['/cocos/datasets/a'],
      data: { a: 'hello\n' },
    });
    expect(run.outcome).toMatchObject({ exitCode: 0, runtime: 'binary' });
    expect(run.stdout).toEqual(['hello']);
  });

  it('runs a script with a #! line', async () => {
    const run = await bench.run('binary', '#!/bin/sh\necho "$1"; exit 5\n', { arguments: ['two words'] });
    expect(run.outcome.exitCode).toBe(5);
    expect(run.stdout).toEqual(['two words']);
  });

  it.each([
    ['text', 'hello'],
    ['an empty file', ''],
    ['an ELF file for an unknown machine', Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, ...new Uint8Array(100))],
    ['a script whose interpreter is missing', '#!/usr/bin/no-such-interpreter\n'],
  ])('refuses %s', async (_what, content) => {
    expect(await codeOfAsync(() => bench.run('binary', content))).toBe('ALGORITHM_INVALID');
  });
});

describe.skipIf(!canRun)('a program that the kernel cannot start', () => {
  it.each([
    ['binary', 'ALGORITHM_INVALID'],
    ['python', 'SANDBOX_UNAVAILABLE'],
  ] as const)('of the kind %s is reported as %s', async (kind, code) => {
    // Reports a process in the sandbox and no exit status, as bubblewrap does then.
    const bwrap = join(bench.folder, 'no-start');
    writeFileSync(bwrap, `#!/bin/sh\necho "{ \\"child-pid\\": $$ }" >&3\nread -r _ <&4\nexit 1\n`);
    chmodSync(bwrap, 0o755);
    expect(await codeOfAsync(() => bench.run(kind, '#!/bin/sh\n', { runtimePaths: { bwrap } }))).toBe(code);
  });
});

describe.skipIf(!canRun)('runAlgorithm with WebAssembly', () => {
  /** (module (import proc_exit) (memory 1 pages) (func _start: proc_exit(code))), assembled by hand. */
  const exiting = (code: number, memoryPages = 1) => {
    const pages = [(memoryPages & 0x7f) | 0x80, memoryPages >> 7];
    const name = (text: string) => [text.length, ...Buffer.from(text)];
    const section = (id: number, body: number[]) => [id, body.length, ...body];
    return Uint8Array.from([
      ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
      ...section(1, [2, 0x60, 1, 0x7f, 0, 0x60, 0, 0]),
      ...section(2, [1, ...name('wasi_snapshot_preview1'), ...name('proc_exit'), 0, 0]),
      ...section(3, [1, 1]),
      ...section(5, [1, 0, ...pages]),
      ...section(7, [2, ...name('memory'), 2, 0, ...name('_start'), 0, 1]),
      ...section(10, [1, 6, 0, 0x41, code, 0x10, 0, 0x0b]),
    ]);
  };

  it('runs a WASI module and reports its exit code', async () => {
    const run = await bench.run('wasm', exiting(7));
    expect(run.stderr).toEqual([]);
    expect(run.outcome).toMatchObject({ exitCode: 7, signal: null });
    expect(run.outcome.runtime).toMatch(/^wasm, node v\d+/);
  });

  it('refuses a module that needs more memory than the limit', async () => {
    const limits = { ...DEFAULT_LIMITS, memoryMiB: 64 };
    expect((await bench.run('wasm', exiting(0, 1024), { limits })).outcome.exitCode).toBe(0);
    const run = await bench.run('wasm', exiting(0, 1025), { limits });
    expect(run.outcome.exitCode).not.toBe(0);
  });

  it('refuses a file that is not a module', async () => {
    expect(await codeOfAsync(() => bench.run('wasm', 'hello'))).toBe('ALGORITHM_INVALID');
  });
});

describe.skipIf(!canRun)('the sandbox', () => {
  it.each<[string, Partial<RunRequest>]>([
    ['bubblewrap is missing', { runtimePaths: { bwrap: '/usr/bin/no-bwrap' } }],
    ['bubblewrap cannot be executed', { runtimePaths: { bwrap: '/usr' } }],
    ['bubblewrap fails', { runtimePaths: { bwrap: '/usr/bin/false' } }],
    ['Python is missing', { runtimePaths: { python: '/usr/bin/no-python' } }],
  ])('is unavailable when %s', async (_what, change) => {
    expect(await codeOfAsync(() => python('print(1)', change))).toBe('SANDBOX_UNAVAILABLE');
  });

  it('reports that nothing enforces memory and processes', async () => {
    const run = await python('print(1)', { runtimePaths: { prlimit: '/usr/bin/no-prlimit' } });
    if (!run.outcome.enforced.includes('memory')) {
      expect(run.outcome.notEnforced.join()).toMatch(/^memory and processes: /);
      expect(run.outcome.enforced).toEqual(['time', 'disk']);
    }
  });

  it('refuses a dataset name that is a path', async () => {
    for (const name of ['../x', 'a/b', '.x', '']) {
      expect(
        await codeOfAsync(() => python('print(1)', { datasets: new Map([[name, '/etc/hostname']]) })),
      ).toBe('INPUT_INVALID');
    }
  });

  it.skipIf(process.getuid?.() !== 0)('names a folder that its user cannot enter, as root', async () => {
    const closed = join(bench.folder, 'closed');
    mkdirSync(join(closed, 'results'), { recursive: true });
    writeFileSync(join(closed, 'algorithm'), 'print(1)');
    chmodSync(closed, 0o700);
    const request: RunRequest = {
      kind: 'python',
      algorithmPath: join(closed, 'algorithm'),
      datasets: new Map(),
      resultsDir: join(closed, 'results'),
      ownsFileSystem: false,
      arguments: [],
      limits: DEFAULT_LIMITS,
      onLog: () => {},
      signal: new AbortController().signal,
    };
    await expect(runAlgorithm(request)).rejects.toThrow(closed);
    expect(await codeOfAsync(() => runAlgorithm(request))).toBe('SANDBOX_UNAVAILABLE');
  });

  it.skipIf(process.getuid?.() !== 0)('runs as another user of the machine, as root', async () => {
    const run = await python("open('/cocos/results/f', 'w').write('x')");
    expect(statSync(join(run.results, 'f')).uid).toBe(65534);
  });
});
