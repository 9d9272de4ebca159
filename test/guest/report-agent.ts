import {
  closeSync,
  fsyncSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeSync,
} from 'node:fs';
import { openGuestTpm } from '../../src/agent/evidence/tpm/guest-tpm.ts';

/** A part of the test agent: prints what it sees of the guest as lines of JSON. */

const QUALIFYING_DATA = Buffer.alloc(32, 0x42);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const say = (name: string, value: unknown): void =>
  console.log(`COCOS-TEST ${name} ${JSON.stringify(value)}`);
const lines = (path: string): string[] => readFileSync(path, 'utf8').split('\n').filter(Boolean);

/** Name and command line of every process of the user space. */
function processes(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim())
    .filter((command) => command !== '')
    .sort();
}

/** What is writable for somebody in the folders that the root image and the kernel give. */
function writable(folder: string, found: string[]): string[] {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = `${folder === '/' ? '' : folder}/${entry.name}`;
    if (['/proc', '/sys'].includes(path) || entry.isSymbolicLink()) continue;
    const { mode } = statSync(path);
    if ((mode & 0o022) !== 0) found.push(`${path} ${(mode & 0o7777).toString(8)}`);
    if (entry.isDirectory()) writable(path, found);
  }
  return found.sort();
}

/** Writes a canary where inputs and results lie, down to the disk. */
function writeCanary(): string {
  const file = openSync('/cocos/canary', 'w');
  for (let i = 0; i < 256; i++) writeSync(file, 'COCOS-SCRATCH-CANARY'.repeat(50));
  fsyncSync(file);
  closeSync(file);
  return 'written';
}

/** Reads every file of the root image. */
function readAll(folder: string): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) readAll(path);
    else if (entry.isFile()) readFileSync(path);
  }
}

export async function report(): Promise<void> {
  const vtpm = await openGuestTpm('/usr/lib/cocos/agent.js');
  if (vtpm === null) say('quote', null);
  else {
    const { attest, signature, pcrs, eventLog } = await vtpm.quote(QUALIFYING_DATA);
    say('quote', {
      publicArea: hex(vtpm.publicArea),
      attest: hex(attest),
      signature: hex(signature),
      pcrs: Object.fromEntries(Object.entries(pcrs).map(([pcr, value]) => [pcr, hex(value)])),
      eventLog: Buffer.from(eventLog).toString('base64'),
    });
  }
  say('processes', processes());
  say('mounts', lines('/proc/mounts'));
  say(
    'modules',
    lines('/proc/modules')
      .map((line) => line.split(' ')[0])
      .sort(),
  );
  say(
    'sockets',
    ['tcp', 'tcp6', 'udp', 'udp6', 'raw', 'packet'].flatMap((kind) => {
      try {
        return lines(`/proc/net/${kind}`).slice(1);
      } catch {
        return [];
      }
    }),
  );
  say(
    'unix',
    lines('/proc/net/unix')
      .slice(1)
      .map((line) => line.trim().split(/\s+/)[7] ?? ''),
  );
  say('interfaces', readdirSync('/sys/class/net').sort());
  say(
    'capabilities',
    lines('/proc/self/status').filter((line) => /^(Cap|Seccomp|NoNewPrivs)/.test(line)),
  );
  say('writable', writable('/', []));
  say(
    'descriptors',
    readdirSync('/proc/self/fd')
      .map((fd) => {
        try {
          return readlinkSync(`/proc/self/fd/${fd}`);
        } catch {
          return '';
        }
      })
      .sort(),
  );
  say(
    'settings',
    Object.fromEntries(
      [
        'kernel/modules_disabled',
        'kernel/kexec_load_disabled',
        'kernel/sysrq',
        'kernel/core_pattern',
        'kernel/dmesg_restrict',
        'kernel/kptr_restrict',
        'kernel/yama/ptrace_scope',
        'kernel/unprivileged_bpf_disabled',
        'fs/suid_dumpable',
        'vm/swappiness',
      ].map((name) => {
        try {
          return [name, lines(`/proc/sys/${name}`)[0] ?? ''];
        } catch {
          return [name, null];
        }
      }),
    ),
  );
  say('lockdown', lines('/sys/kernel/security/lockdown')[0]);
  say('swaps', lines('/proc/swaps').slice(1));
  say('scratch', writeCanary());
  say('end', true);
  for (const folder of ['/etc', '/usr']) readAll(folder);
  say('read', true);
}
