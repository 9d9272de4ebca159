import { constants } from 'node:fs';
import { access, readFile } from 'node:fs/promises';
import path from 'node:path';
import { probeQemu, type QemuFacts } from './qemu-probe.ts';

/** Whether this process can use a device file. */
export type DeviceAccess = 'usable' | 'denied' | 'missing';

/** What this host says of itself, before anything is concluded from it. */
export interface HostFacts {
  readonly kvm: DeviceAccess;
  readonly sev: DeviceAccess;
  readonly kernelVsock: DeviceAccess;
  /** `/sys/module/.../parameters/...` by `module.parameter`; null where the module has none or is not loaded. */
  readonly parameters: Readonly<Record<ModuleParameter, string | null>>;
  /** Flags of the first processor (/proc/cpuinfo). */
  readonly cpuFlags: ReadonlySet<string>;
  /** `AuthenticAMD`, `GenuineIntel` or another; empty where it is not known. */
  readonly cpuVendor: string;
  /** Capacity of the misc cgroup controller by resource: `sev_es`, `tdx`. */
  readonly miscCapacity: Readonly<Record<string, number>>;
  readonly qemu: QemuFacts;
  /** Names of the image's files that are there. */
  readonly imageFiles: ReadonlySet<string>;
  /** The unix socket of the TDX quote generation service, where it is there. */
  readonly quoteSocket: string | null;
}

export type ModuleParameter = 'kvm_amd.sev_snp' | 'kvm_intel.tdx';

const PARAMETERS: readonly ModuleParameter[] = ['kvm_amd.sev_snp', 'kvm_intel.tdx'];
const IMAGE_FILES = ['ovmf-amdsev.fd', 'ovmf-tdx.fd'];
/** Where Intel's quote generation service (qgsd) listens by default. */
const QUOTE_SOCKET = '/var/run/tdx-qgs/qgs.socket';

interface HostFactsOptions {
  /** In place of `/`, for /dev, /proc, /sys and /var/run. */
  readonly root: string;
  readonly imageFolder: string;
}

export async function readHostFacts({ root, imageFolder }: HostFactsOptions): Promise<HostFacts> {
  const at = (file: string) => path.join(root, file);
  const [kvm, sev, kernelVsock, quoteSocket, cpuinfo, capacity] = await Promise.all([
    deviceAccess(at('/dev/kvm')),
    deviceAccess(at('/dev/sev')),
    deviceAccess(at('/dev/vhost-vsock')),
    deviceAccess(at(QUOTE_SOCKET)),
    textOf(at('/proc/cpuinfo')),
    textOf(at('/sys/fs/cgroup/misc.capacity')),
  ]);
  const parameters = await Promise.all(
    PARAMETERS.map(async (name) => {
      const [module, parameter] = name.split('.');
      const text = await textOf(at(`/sys/module/${module}/parameters/${parameter}`));
      return [name, text?.trim() ?? null] as const;
    }),
  );
  const images = await Promise.all(
    IMAGE_FILES.map(async (name) =>
      (await deviceAccess(path.join(imageFolder, name))) === 'missing' ? [] : [name],
    ),
  );
  return {
    ...{ kvm, sev, kernelVsock },
    parameters: Object.fromEntries(parameters) as Record<ModuleParameter, string | null>,
    cpuFlags: new Set(fieldOf(cpuinfo, 'flags').split(' ')),
    cpuVendor: fieldOf(cpuinfo, 'vendor_id'),
    miscCapacity: capacities(capacity ?? ''),
    qemu: await probeQemu(kvm === 'usable'),
    imageFiles: new Set(images.flat()),
    quoteSocket: quoteSocket === 'usable' ? at(QUOTE_SOCKET) : null,
  };
}

async function deviceAccess(file: string): Promise<DeviceAccess> {
  try {
    await access(file, constants.R_OK | constants.W_OK);
    return 'usable';
  } catch {
    return access(file).then(
      () => 'denied',
      () => 'missing',
    );
  }
}

async function textOf(file: string): Promise<string | null> {
  return readFile(file, 'utf8').catch(() => null);
}

/** Of the first processor: all of a host are the same. */
function fieldOf(cpuinfo: string | null, name: string): string {
  const line = cpuinfo?.split('\n').find((each) => each.split(':')[0]?.trim() === name);
  return line?.slice(line.indexOf(':') + 1).trim() ?? '';
}

/** Lines of `name number` (Documentation/admin-guide/cgroup-v2.rst, Misc). */
function capacities(text: string): Record<string, number> {
  const rows = text.split('\n').map((line) => line.trim().split(/\s+/));
  return Object.fromEntries(
    rows.flatMap(([name, count]) =>
      name !== undefined && /^[0-9]+$/.test(count ?? '') ? [[name, Number(count)]] : [],
    ),
  );
}
