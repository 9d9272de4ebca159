import os from 'node:os';
import path from 'node:path';
import { z } from 'zod';
import { CocosError } from '../errors.ts';
import { MIRROR_LIMITS, type MirrorLimits } from '../link/mirror/mirror.ts';
import { ENCLAVE_LIMITS, type EnclaveLimits, EnclaveMode, TeePlatform } from '../machines/enclave.events.ts';
import { type Address, defaultRunDir, parseAddress, type TlsFiles, unbracketed } from '../rpc/address.ts';
import { seconds } from '../runtime/time-spans.ts';
import { schemaProblems } from '../schema-problems.ts';
import { HISTORY_LIMITS, type HistoryLimits } from './control/history.ts';
import { OUTBOX_BYTES } from './service/outbox.ts';
import { findUnknownSettings, type UnknownSetting } from './setting-names.ts';

/** The one address at which participants of other machines reach every enclave of this host. */
export interface ParticipantsConfig {
  readonly host: string;
  readonly port: number;
  /** Certificate chain and key, PEM files; null for plain TCP. */
  readonly tls: { readonly certificate: string; readonly key: string } | null;
  /** What participants are shown, `host:port`; null for the address at which the gateway listens. */
  readonly advertise: string | null;
}

/** Where the computation management service is, and how much is kept for it while it is away. */
export interface ServiceConfig {
  readonly address: Address;
  readonly tls: TlsFiles;
  /** Events in the outbox from which on agents are held back. */
  readonly outboxLimit: number;
  /** Bytes of them. */
  readonly outboxBytes: number;
}

/** Settings of the manager. Every one has an environment variable and a default. */
export interface ManagerConfig {
  /** Where the control service listens. */
  readonly listen: Address;
  readonly tls: TlsFiles;
  /** Keys, logs and disks of enclaves. */
  readonly stateDir: string;
  /** Sockets; its path must be short. */
  readonly runDir: string;
  readonly mode: EnclaveMode;
  /** What protects enclaves whose request names no platform: `auto` for the strongest that the host has. */
  readonly tee: TeePlatform | 'auto';
  /** In place of `/`, where the manager looks for the hardware: /dev, /proc, /sys and /var/run. */
  readonly hostRoot: string;
  /** Folder with the guest image that `npm run eos` made. */
  readonly eosDir: string;
  /** Program of the agent for process mode. */
  readonly agentProgram: string;
  /** Program of the thread that carries participants' bytes. */
  readonly relayProgram: string;
  /** `unix` puts each relay on a unix socket, `tcp` on a free port of this host's loopback address. */
  readonly relay: 'unix' | 'tcp';
  /** Null where only this machine can connect. */
  readonly participants: ParticipantsConfig | null;
  /** How virtual machines start: kernel and initrd given by the host, or a unified kernel image under UEFI. */
  readonly boot: 'direct' | 'uefi';
  /** Size of the encrypted scratch disk of a virtual machine; 0 keeps inputs and results in its memory. */
  readonly diskMiB: number;
  /** Whether virtual machines get a software TPM. */
  readonly vtpm: 'swtpm' | 'off';
  readonly accelerator: 'auto' | 'kvm' | 'tcg';
  /** Whether guests go on when the manager stops, to be taken over by the next one. */
  readonly onStop: 'keep' | 'stop';
  /** What happens to a guest under the run folder that no record knows. */
  readonly onOrphan: 'end' | 'report';
  /** The computation management service that this manager serves; null for none. */
  readonly service: ServiceConfig | null;
  readonly enclaveLimit: number;
  /** Size at which a guest's console, and the log of the programs that serve it, are cut. */
  readonly logBytes: number;
  /** Memory for what one enclave's agent reports of its machines. */
  readonly mirrorLimits: MirrorLimits;
  /** What is kept of each enclave's transitions for watchers that come back. */
  readonly historyLimits: HistoryLimits;
  /** The most that one enclave may be given. */
  readonly vcpuLimit: number;
  readonly memoryLimitMiB: number;
  /** Free space that the state folder's disk must have before an enclave is made. */
  readonly minimumFreeMiB: number;
  readonly limits: EnclaveLimits;
  /** Takes every transition; undefined for none. */
  readonly traceFile: string | undefined;
  /** Settings in the environment that nothing reads. */
  readonly unknownSettings: readonly UnknownSetting[];
  /** What an agent in process mode is given of the manager's environment. */
  readonly agentSettings: NodeJS.ProcessEnv;
}

/** Settings that an agent has in process mode; in a virtual machine the measured image fixes them. */
const AGENT_SETTINGS = [
  'COCOSAI_COLLECT_SECONDS',
  'COCOSAI_EVIDENCE_SECONDS',
  'COCOSAI_SESSION_SECONDS',
  'COCOSAI_TRANSFER_SECONDS',
  'COCOSAI_TRACE',
];

/** Of `sun_path` (unix(7)), without the zero at its end. */
const SOCKET_PATH_BYTES = 107;
/** Leaves room for the longest name of an enclave's socket, `/<id>/v.sock_4294967295`, with a margin. */
const RUN_DIR_BYTES = 73;

/** A name, an IPv4 address, or an IPv6 address in brackets, and a port. */
const HOST_AND_PORT = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):(\d{1,5})$/;

const LOG_BYTES = 16 * 2 ** 20;

/** A size in KiB, as bytes. */
function kib(min: number, max: number, defaultBytes: number) {
  return z.coerce
    .number()
    .int()
    .min(min)
    .max(max)
    .default(defaultBytes / 1024)
    .transform((size) => size * 1024);
}

const Environment = z.object({
  COCOSAI_LISTEN: z.string().optional(),
  COCOSAI_TLS_CERT: z.string().optional(),
  COCOSAI_TLS_KEY: z.string().optional(),
  COCOSAI_TLS_CA: z.string().optional(),
  COCOSAI_STATE_DIR: z.string().optional(),
  COCOSAI_RUN_DIR: z.string().optional(),
  COCOSAI_MODE: EnclaveMode.default('vm'),
  COCOSAI_TEE: z.enum(['auto', ...TeePlatform.options]).default('auto'),
  COCOSAI_HOST_ROOT: z.string().default('/'),
  COCOSAI_EOS_DIR: z.string().optional(),
  COCOSAI_AGENT: z.string().optional(),
  COCOSAI_RELAY: z.enum(['unix', 'tcp']).default('unix'),
  COCOSAI_PARTICIPANTS: z.string().optional(),
  COCOSAI_PARTICIPANTS_TLS_CERT: z.string().optional(),
  COCOSAI_PARTICIPANTS_TLS_KEY: z.string().optional(),
  COCOSAI_ADVERTISE: z.string().optional(),
  COCOSAI_BOOT: z.enum(['direct', 'uefi']).default('direct'),
  COCOSAI_DISK_MIB: z.coerce.number().int().min(0).max(1_048_576).default(0),
  COCOSAI_VTPM: z.enum(['swtpm', 'off']).default('swtpm'),
  COCOSAI_ACCEL: z.enum(['auto', 'kvm', 'tcg']).default('auto'),
  COCOSAI_ON_STOP: z.enum(['keep', 'stop']).default('keep'),
  COCOSAI_ON_ORPHAN: z.enum(['end', 'report']).default('end'),
  COCOSAI_SERVICE: z.string().optional(),
  COCOSAI_SERVICE_TLS_CERT: z.string().optional(),
  COCOSAI_SERVICE_TLS_KEY: z.string().optional(),
  COCOSAI_SERVICE_TLS_CA: z.string().optional(),
  COCOSAI_OUTBOX_LIMIT: z.coerce.number().int().min(100).max(10_000_000).default(200_000),
  COCOSAI_OUTBOX_KIB: kib(64, 1_073_741_824, OUTBOX_BYTES),
  COCOSAI_MAX_ENCLAVES: z.coerce.number().int().min(1).max(10_000).default(16),
  COCOSAI_LOG_KIB: kib(64, 16_777_216, LOG_BYTES),
  COCOSAI_MIRROR_RECORD_KIB: kib(1, 1_048_576, MIRROR_LIMITS.recordBytes),
  COCOSAI_MIRROR_KIB: kib(64, 16_777_216, MIRROR_LIMITS.bytes),
  COCOSAI_HISTORY_ITEMS: z.coerce.number().int().min(0).max(1_000_000).default(HISTORY_LIMITS.items),
  COCOSAI_HISTORY_KIB: kib(0, 16_777_216, HISTORY_LIMITS.bytes),
  COCOSAI_MAX_VCPUS: z.coerce.number().int().min(1).max(64).default(8),
  COCOSAI_MAX_MEMORY_MIB: z.coerce.number().int().min(192).max(1_048_576).default(16_384),
  COCOSAI_MIN_FREE_MIB: z.coerce.number().int().min(0).default(512),
  COCOSAI_PREPARE_SECONDS: seconds(ENCLAVE_LIMITS.prepareMs),
  COCOSAI_BOOT_SECONDS: seconds(ENCLAVE_LIMITS.bootMs),
  COCOSAI_STOP_SECONDS: seconds(ENCLAVE_LIMITS.stopMs),
  COCOSAI_TRACE: z.string().optional(),
});

/** Names of all settings. */
export const MANAGER_SETTINGS: readonly string[] = Object.keys(Environment.shape);

/**
 * Settings from environment variables.
 *
 * @param programDir folder of the running program, beside which the agent and the image are looked for.
 * @throws CocosError CONFIG_INVALID naming the setting.
 */
export function readManagerConfig(environment: NodeJS.ProcessEnv, programDir: string): ManagerConfig {
  const parsed = Environment.safeParse(environment);
  if (!parsed.success) {
    const problems = schemaProblems(parsed.error, environment).join('; ');
    throw new CocosError('CONFIG_INVALID', `Invalid setting ${problems}.`);
  }
  const env = parsed.data;
  const isRoot = process.getuid?.() === 0;
  const stateDir =
    env.COCOSAI_STATE_DIR ?? (isRoot ? '/var/lib/cocosai' : path.join(os.homedir(), '.local/state/cocosai'));
  const runDir = path.resolve(env.COCOSAI_RUN_DIR ?? defaultRunDir(environment));
  checkLength('COCOSAI_RUN_DIR', runDir, RUN_DIR_BYTES);
  return {
    listen: readAddress('COCOSAI_LISTEN', env.COCOSAI_LISTEN ?? `unix:${path.join(runDir, 'manager.sock')}`),
    tls: { certificate: env.COCOSAI_TLS_CERT, key: env.COCOSAI_TLS_KEY, authority: env.COCOSAI_TLS_CA },
    stateDir: path.resolve(stateDir),
    runDir,
    mode: env.COCOSAI_MODE,
    tee: env.COCOSAI_TEE,
    hostRoot: path.resolve(env.COCOSAI_HOST_ROOT),
    eosDir: path.resolve(env.COCOSAI_EOS_DIR ?? path.join(programDir, '../build/eos')),
    agentProgram: path.resolve(env.COCOSAI_AGENT ?? path.join(programDir, 'cocos-agent.js')),
    relayProgram: path.join(programDir, 'cocos-relay.js'),
    relay: env.COCOSAI_RELAY,
    participants: readParticipants(env),
    boot: env.COCOSAI_BOOT,
    diskMiB: env.COCOSAI_DISK_MIB,
    vtpm: env.COCOSAI_VTPM,
    accelerator: env.COCOSAI_ACCEL,
    onStop: env.COCOSAI_ON_STOP,
    onOrphan: env.COCOSAI_ON_ORPHAN,
    service:
      env.COCOSAI_SERVICE === undefined
        ? null
        : {
            address: readAddress('COCOSAI_SERVICE', env.COCOSAI_SERVICE),
            tls: {
              certificate: env.COCOSAI_SERVICE_TLS_CERT,
              key: env.COCOSAI_SERVICE_TLS_KEY,
              authority: env.COCOSAI_SERVICE_TLS_CA,
            },
            outboxLimit: env.COCOSAI_OUTBOX_LIMIT,
            outboxBytes: env.COCOSAI_OUTBOX_KIB,
          },
    enclaveLimit: env.COCOSAI_MAX_ENCLAVES,
    logBytes: env.COCOSAI_LOG_KIB,
    mirrorLimits: { recordBytes: env.COCOSAI_MIRROR_RECORD_KIB, bytes: env.COCOSAI_MIRROR_KIB },
    historyLimits: { items: env.COCOSAI_HISTORY_ITEMS, bytes: env.COCOSAI_HISTORY_KIB },
    vcpuLimit: env.COCOSAI_MAX_VCPUS,
    memoryLimitMiB: env.COCOSAI_MAX_MEMORY_MIB,
    minimumFreeMiB: env.COCOSAI_MIN_FREE_MIB,
    limits: {
      prepareMs: env.COCOSAI_PREPARE_SECONDS,
      bootMs: env.COCOSAI_BOOT_SECONDS,
      stopMs: env.COCOSAI_STOP_SECONDS,
    },
    traceFile: env.COCOSAI_TRACE,
    unknownSettings: findUnknownSettings(environment, [...MANAGER_SETTINGS, ...AGENT_SETTINGS]),
    agentSettings: pick(environment, AGENT_SETTINGS),
  };
}

function readParticipants(env: z.infer<typeof Environment>): ParticipantsConfig | null {
  const { COCOSAI_PARTICIPANTS: text, COCOSAI_ADVERTISE: advertise = null } = env;
  if (advertise !== null && !HOST_AND_PORT.test(advertise)) {
    throw new CocosError('CONFIG_INVALID', `COCOSAI_ADVERTISE: '${advertise}' is not host:port.`);
  }
  if (text === undefined) return null;
  const [, kind, where = ''] = /^(tcp|tls):(.*)$/.exec(text) ?? [];
  const [, host, port] = HOST_AND_PORT.exec(where) ?? [];
  if (kind === undefined || host === undefined || Number(port) > 65_535) {
    throw new CocosError(
      'CONFIG_INVALID',
      `COCOSAI_PARTICIPANTS: '${text}' is neither tcp:host:port nor tls:host:port.`,
    );
  }
  const address = { host: unbracketed(host), port: Number(port), advertise };
  if (kind === 'tcp') return { ...address, tls: null };
  const { COCOSAI_PARTICIPANTS_TLS_CERT: certificate, COCOSAI_PARTICIPANTS_TLS_KEY: key } = env;
  if (certificate === undefined || key === undefined) {
    throw new CocosError(
      'CONFIG_INVALID',
      'COCOSAI_PARTICIPANTS: tls: needs COCOSAI_PARTICIPANTS_TLS_CERT and COCOSAI_PARTICIPANTS_TLS_KEY.',
    );
  }
  return { ...address, tls: { certificate, key } };
}

function readAddress(setting: string, text: string): Address {
  const address = parseAddress(text);
  if (address.kind === 'unix') checkLength(setting, address.path, SOCKET_PATH_BYTES);
  return address;
}

/** The system would cut a longer path of a socket, and so use another file. */
function checkLength(setting: string, file: string, limit: number): void {
  const length = Buffer.byteLength(file);
  if (length <= limit) return;
  throw new CocosError(
    'CONFIG_INVALID',
    `${setting}: the path '${file}' has ${length} bytes, but the paths of sockets leave room for ${limit}: choose a shorter one.`,
  );
}

function pick(environment: NodeJS.ProcessEnv, names: readonly string[]): NodeJS.ProcessEnv {
  return Object.fromEntries(
    names.flatMap((name) => (environment[name] === undefined ? [] : [[name, environment[name]]])),
  );
}
