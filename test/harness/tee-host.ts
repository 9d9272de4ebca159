import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/**
 * A host that looks as if it had TEE hardware: device files, kernel parameters and a QEMU that answers as a recent one
 * does. What is asked of the hardware itself fails here.
 */

/** What the QEMU in its place answers. */
interface FakeQemu {
  readonly version: readonly [major: number, minor: number];
  readonly teeObjects: readonly string[];
  readonly sev: { readonly cbitpos: number; readonly 'reduced-phys-bits': number } | null;
  /** What it prints, before it ends, when a guest is to be started. */
  readonly failure: string;
}

interface TeeHostOptions {
  readonly qemu: FakeQemu | null;
  /** Files below its root, with their contents. */
  readonly files: Readonly<Record<string, string>>;
}

export interface FakeTeeHost {
  /** For COCOSAI_HOST_ROOT. */
  readonly root: string;
  /** To be put in front of PATH. */
  readonly programs: string;
  remove(): void;
}

/** Any file that can be opened stands for a device. */
const DEVICE = '';

export const QEMU_11: FakeQemu = {
  version: [11, 1],
  teeObjects: ['sev-guest', 'sev-snp-guest', 'tdx-guest'],
  sev: { cbitpos: 51, 'reduced-phys-bits': 1 },
  failure: '',
};

export const SNP_FILES: Readonly<Record<string, string>> = {
  '/dev/kvm': DEVICE,
  '/dev/sev': DEVICE,
  '/dev/vhost-vsock': DEVICE,
  '/proc/cpuinfo': 'processor\t: 0\nvendor_id\t: AuthenticAMD\nflags\t\t: fpu sev sev_es sev_snp\n',
  '/sys/module/kvm_amd/parameters/sev_snp': 'Y\n',
  '/sys/fs/cgroup/misc.capacity': 'sev 410\nsev_es 99\n',
};

export const TDX_FILES: Readonly<Record<string, string>> = {
  '/dev/kvm': DEVICE,
  '/dev/vhost-vsock': DEVICE,
  '/proc/cpuinfo': 'processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: fpu tdx_host_platform\n',
  '/sys/module/kvm_intel/parameters/tdx': 'Y\n',
  '/sys/fs/cgroup/misc.capacity': 'tdx 31\n',
  '/var/run/tdx-qgs/qgs.socket': DEVICE,
};

export function fakeTeeHost({ qemu, files }: TeeHostOptions): FakeTeeHost {
  const folder = mkdtempSync(path.join(tmpdir(), 'cocos-tee-'));
  const root = path.join(folder, 'root');
  const programs = path.join(folder, 'bin');
  mkdirSync(root);
  mkdirSync(programs);
  for (const [name, text] of Object.entries(files)) {
    const file = path.join(root, name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
  if (qemu !== null) {
    const program = path.join(programs, 'qemu-system-x86_64');
    writeFileSync(program, `#!${process.execPath}\n${SCRIPT}\nrun(${JSON.stringify(qemu)});\n`);
    chmodSync(program, 0o755);
  }
  const daemon = path.join(programs, 'vhost-device-vsock');
  writeFileSync(daemon, DAEMON);
  chmodSync(daemon, 0o755);
  return { root, programs, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** Makes its socket file and stays. */
const DAEMON = `#!/bin/sh
for w in $(echo "$2" | tr , ' '); do case $w in socket=*) : >"\${w#socket=}";; esac; done
exec sleep 600
`;

/** QMP of a QEMU without a machine; a guest is never started. */
const SCRIPT = `
const net = require('node:net');
function run({ version: [major, minor], teeObjects, sev, failure }) {
  const args = process.argv.slice(2);
  if (args[args.indexOf('-machine') + 1] !== 'none') {
    process.stderr.write(failure + '\\n');
    process.exit(1);
  }
  const answers = {
    qmp_capabilities: () => ({ return: {} }),
    'query-version': () => ({ return: { qemu: { major, minor, micro: 0 }, package: '' } }),
    'qom-list-types': () => ({ return: teeObjects.map((name) => ({ name, parent: 'object' })) }),
    'query-sev-capabilities': () =>
      sev === null
        ? { error: { class: 'GenericError', desc: 'SEV is not enabled in KVM' } }
        : { return: { pdh: '', 'cert-chain': '', 'cpu0-id': '', ...sev } },
  };
  const socket = args[args.indexOf('-qmp') + 1].replace(/^unix:/, '').replace(/,server=on.*$/, '');
  net
    .createServer((stream) => {
      stream.on('error', () => undefined);
      stream.write(JSON.stringify({ QMP: { version: {}, capabilities: [] } }) + '\\n');
      let text = '';
      stream.on('data', (chunk) => {
        text += chunk;
        for (let end = text.indexOf('\\n'); end !== -1; end = text.indexOf('\\n')) {
          const { execute, id } = JSON.parse(text.slice(0, end));
          text = text.slice(end + 1);
          stream.write(JSON.stringify({ ...answers[execute](), id }) + '\\n');
        }
      });
    })
    .listen(socket);
}
`;
