import { randomUUID } from 'node:crypto';
import path from 'node:path';
import { createLink, type Link } from '../../src/link/link.ts';
import { PORTS } from '../../src/link/transport.ts';
import { unixTransport } from '../../src/link/unix.ts';

/**
 * Stands in for an agent that does not do its part, which the manager must take for what it is. The name of the
 * program says what it does: `mute` never links, `dumb` links and answers nothing, `leaving` cuts its link before it
 * is ready, `refusing` refuses to describe itself, `rebooting` comes back as another boot, `gone` ends at once.
 */
const kind = path.basename(process.argv[1] ?? '', '.cjs');
const transport = unixTransport(process.env['COCOS_SOCKETS'] ?? '');

function link(onCommand: (name: string) => Promise<unknown>): Link {
  const made = createLink({
    role: 'agent',
    bootId: randomUUID(),
    enclaveId: null,
    open: () => transport.connect(PORTS.link),
    now: () => performance.now(),
    onCommand,
  });
  made.start();
  return made;
}

const never = () => new Promise<never>(() => undefined);
const describe = () => Promise.resolve({ version: 'odd' });

setInterval(() => undefined, 60_000);
if (kind === 'gone') process.exit(3);
if (kind === 'dumb') link(never);
if (kind === 'leaving') {
  const left = link(never);
  setTimeout(() => left.close(), 1_000);
}
if (kind === 'refusing') link(() => Promise.reject(new Error('no')));
if (kind === 'rebooting') {
  const first = link(describe);
  setTimeout(() => {
    first.close();
    link(describe);
  }, 1_500);
}
