import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { createLink, type Link } from '../../src/link/link.ts';
import { PORTS } from '../../src/link/transport/transport.ts';
import { unixTransport } from '../../src/link/transport/unix.ts';

/**
 * Stands in for an agent that does not do its part, which the manager must take for what it is. `COCOS_ODD` says what
 * it does: `mute` never links, `dumb` links and answers nothing, `leaving` cuts its link before it is ready, `refusing`
 * refuses to describe itself, `rebooting` comes back as another boot, `gone` ends at once, `babbling` writes what is no
 * frame, `panicking` and `stuck` tell of the end of a boot, `panicking-late` and `stuck-late` when they are to shut
 * down, and of `parted-dumb` and `parted` the process that the host watches ends before the one that linked.
 */
const kind = process.env['COCOS_ODD'] ?? '';
const transport = unixTransport(process.env['COCOS_SOCKETS'] ?? '');

function link(onCommand: (name: string) => Promise<unknown>, onLost: () => void = () => undefined): Link {
  const made = createLink({
    role: 'agent',
    bootId: randomUUID(),
    enclaveId: null,
    open: () => transport.connect(PORTS.link),
    now: () => performance.now(),
    onCommand,
    onState: (state) => {
      if (state === 'lost') onLost();
      else process.send?.('linked');
    },
  });
  made.start();
  return made;
}

const never = () => new Promise<never>(() => undefined);
const describe = () => Promise.resolve({ version: 'odd' });
const PANIC = 'Kernel panic - not syncing: odd';
const FAILURE = 'COCOS-INIT-FAILED: modules: odd';

const KINDS: Readonly<Record<string, () => void>> = {
  mute: () => undefined,
  gone: () => process.exit(3),
  dumb: () => void link(never),
  leaving: () => {
    const left = link(never);
    setTimeout(() => left.close(), 1_000);
  },
  refusing: () => void link(() => Promise.reject(new Error('no'))),
  rebooting: () => {
    const first = link(describe);
    setTimeout(() => {
      first.close();
      link(describe);
    }, 1_500);
  },
  babbling: () => {
    void dial().then((stream) => stream.write('this is no frame'));
  },
  panicking: () => console.log(PANIC),
  stuck: () => console.log(`COCOS-BOOT modules\n${FAILURE}`),
  'panicking-late': () => lastWords(PANIC),
  'stuck-late': () => lastWords(FAILURE),
  'parted-dumb': () => part('clinging-dumb'),
  parted: () => part('clinging'),
  // The part that stays ends with its link.
  'clinging-dumb': () => void link(never, () => process.exit(0)),
  clinging: () => void link(describe, () => process.exit(0)),
};

/** When the host listens. */
async function dial() {
  for (;;) {
    const stream = await transport.connect(PORTS.link).catch(() => null);
    if (stream !== null) return stream.on('error', () => undefined);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Ready, until it is to shut down: then it says something, and stays. */
function lastWords(line: string): void {
  process.on('SIGTERM', () => undefined);
  link((name) => {
    if (name === 'agent.shutDown') console.log(line);
    return describe();
  });
}

/** Lets another process link in its place and ends. */
function part(other: string): void {
  const clinging = spawn(process.execPath, [process.argv[1] ?? ''], {
    env: { ...process.env, COCOS_ODD: other },
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  // Ready or not, as its kind has it, a moment after it is linked.
  clinging.once('message', () => setTimeout(() => process.exit(4), 1_000));
}

setInterval(() => undefined, 60_000);
KINDS[kind]?.();
