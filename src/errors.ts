/**
 * The error type of the project and the table of its stable codes.
 *
 * A code never changes its meaning. Tests and programs match codes; people read the message.
 */

/** What the caller should do: fix the input, retry, or stop because trust is broken. */
export type ErrorAction = 'fix' | 'retry' | 'stop';

/** Exit codes of the command line, from sysexits.h where one fits. */
export const EXIT = {
  ok: 0,
  failed: 1,
  rejected: 2,
  usage: 64,
  data: 65,
  noInput: 66,
  unavailable: 69,
  internal: 70,
  cannotCreate: 73,
  io: 74,
  temporary: 75,
  denied: 77,
  config: 78,
} as const;

type ExitCode = (typeof EXIT)[keyof typeof EXIT];

interface ErrorRow {
  /** Number of the gRPC status that carries this code. */
  readonly grpc: number;
  readonly action: ErrorAction;
  readonly exit: ExitCode;
  /** Text for docs/errors.md: when the error occurs and what to do. */
  readonly doc: string;
}

const row = (grpc: number, action: ErrorAction, exit: ExitCode, doc: string): ErrorRow => ({
  grpc,
  action,
  exit,
  doc,
});

/** All codes, grouped by area. Append a new code to its area. */
export const ERRORS = {
  // Input and state
  INPUT_INVALID: row(3, 'fix', EXIT.data, 'A value does not have the required format.'),
  USAGE: row(
    3,
    'fix',
    EXIT.usage,
    'The command line has an unknown option, a missing argument or an invalid value.',
  ),
  FILE_NOT_FOUND: row(5, 'fix', EXIT.noInput, 'A file named on the command line does not exist.'),
  FILE_UNREADABLE: row(
    3,
    'fix',
    EXIT.io,
    'A file cannot be read or written, or does not have the expected format.',
  ),
  FILE_EXISTS: row(
    6,
    'fix',
    EXIT.cannotCreate,
    'The output file already exists and will not be overwritten. Choose another name.',
  ),
  CONFIG_INVALID: row(3, 'fix', EXIT.config, 'A setting has an invalid value.'),
  STATE_EVENT_ILLEGAL: row(
    9,
    'fix',
    EXIT.failed,
    'The event is not legal in the current state; the error lists the legal events.',
  ),
  LIMIT_EXCEEDED: row(8, 'fix', EXIT.failed, 'A size, count or time limit was exceeded.'),
  DEADLINE_EXCEEDED: row(4, 'retry', EXIT.temporary, 'The operation did not finish in time.'),
  CANCELLED: row(1, 'retry', EXIT.failed, 'The operation was cancelled.'),
  INTERNAL: row(
    13,
    'stop',
    EXIT.internal,
    'A defect of this program. Report it with the details and the log.',
  ),
  // Actors, enclaves
  ACTOR_NOT_PROVIDED: row(13, 'stop', EXIT.internal, 'A machine was started without one of its actors.'),
  ACTOR_NOT_FOUND: row(
    5,
    'fix',
    EXIT.failed,
    'No actor has this address. List them with: cocos-cli actors list.',
  ),
  ENCLAVE_NOT_FOUND: row(
    5,
    'fix',
    EXIT.failed,
    'No enclave has this name or id. List them with: cocos-cli enclave list.',
  ),
  ENCLAVE_EXISTS: row(6, 'fix', EXIT.failed, 'An enclave with this name already exists.'),
  ENCLAVE_FAILED: row(9, 'stop', EXIT.failed, 'The enclave has failed; the error contains the cause.'),
  SNAPSHOT_INVALID: row(
    15,
    'stop',
    EXIT.data,
    'A stored record is damaged or has an unknown version. It was set aside; other records are not affected.',
  ),
  STATE_LOCKED: row(6, 'fix', EXIT.unavailable, 'Another manager uses the same state folder.'),
  // Host
  HOST_QEMU_MISSING: row(9, 'fix', EXIT.unavailable, 'QEMU is not installed on the host.'),
  HOST_IMAGE_MISSING: row(
    9,
    'fix',
    EXIT.unavailable,
    'The EOS image does not exist. Build it with: npm run eos.',
  ),
  HOST_VSOCK_MISSING: row(
    9,
    'fix',
    EXIT.unavailable,
    'The host has no vsock device: neither the kernel module vhost-vsock nor vhost-device-vsock is available.',
  ),
  HOST_TPM_MISSING: row(
    9,
    'fix',
    EXIT.unavailable,
    'swtpm is not installed on the host. Install it, or set COCOSAI_VTPM=off.',
  ),
  HOST_DISK_FULL: row(
    8,
    'fix',
    EXIT.cannotCreate,
    'The host does not have enough disk space for the enclave.',
  ),
  HOST_PORT_TAKEN: row(6, 'fix', EXIT.unavailable, 'Another process already listens on the address.'),
  HOST_TEE_UNAVAILABLE: row(
    9,
    'fix',
    EXIT.unavailable,
    'The host cannot start enclaves on the requested platform. List what is missing with: cocos-cli host doctor.',
  ),
  VM_LAUNCH_FAILED: row(13, 'retry', EXIT.failed, 'The virtual machine could not be started.'),
  VM_EXITED: row(14, 'retry', EXIT.failed, 'The virtual machine exited unexpectedly.'),
  VM_DEVICE_LOST: row(
    14,
    'retry',
    EXIT.failed,
    'A process that emulates a device of the virtual machine, its TPM or its vsock device, exited unexpectedly.',
  ),
  VM_PANIC: row(14, 'stop', EXIT.failed, 'The guest kernel panicked.'),
  VM_BOOT_FAILED: row(14, 'stop', EXIT.failed, 'A boot step failed in the guest; the error names the step.'),
  HOST_PROGRAM_MISSING: row(
    9,
    'fix',
    EXIT.unavailable,
    'A program that is installed beside the manager is missing. Build or install it again.',
  ),
  STORE_FAILED: row(
    13,
    'retry',
    EXIT.io,
    'The store of the manager cannot be written. Check the disk of COCOSAI_STATE_DIR.',
  ),
  // Manager, relay, link
  MANAGER_UNAVAILABLE: row(
    14,
    'retry',
    EXIT.unavailable,
    'No manager answers at the address. Check that it is running, and --manager or COCOSAI_MANAGER.',
  ),
  AGENT_UNAVAILABLE: row(14, 'retry', EXIT.unavailable, 'The agent cannot be reached through the relay.'),
  LINK_LOST: row(14, 'retry', EXIT.temporary, 'The link between manager and agent was lost.'),
  LINK_PROTOCOL: row(15, 'stop', EXIT.failed, 'The peer of a link violated the protocol.'),
  FRAME_INVALID: row(15, 'stop', EXIT.failed, 'A frame is too large, malformed or of an unknown kind.'),
  VSOCK_CONNECT: row(14, 'retry', EXIT.unavailable, 'A vsock connection could not be established.'),
  // Management service
  SERVICE_UNAVAILABLE: row(14, 'retry', EXIT.unavailable, 'The management service does not answer.'),
  SERVICE_PROTOCOL: row(15, 'stop', EXIT.failed, 'The management service violated the protocol.'),
  RUN_CONFLICT: row(
    6,
    'fix',
    EXIT.failed,
    'A computation with this id was already requested with other parameters. Use a new id.',
  ),
  OUTBOX_FULL: row(
    8,
    'retry',
    EXIT.temporary,
    'The outbox has reached its limit. It drains when the management service is available again.',
  ),
  OUTBOX_FAILED: row(
    13,
    'retry',
    EXIT.io,
    'The outbox cannot be written. Check the disk of the state folder.',
  ),
  // Manifest and keys
  MANIFEST_INVALID: row(3, 'fix', EXIT.data, 'The manifest is not valid JSON of the documented format.'),
  MANIFEST_DIGEST_MISMATCH: row(
    7,
    'stop',
    EXIT.rejected,
    'The enclave holds another manifest than the one that you agreed to.',
  ),
  KEY_FILE_INVALID: row(3, 'fix', EXIT.data, 'A file is damaged or is not a key file.'),
  KEY_FILE_PERMISSIONS: row(
    7,
    'fix',
    EXIT.denied,
    'Other users have access to a key file or a passphrase file. Set its mode to 0600.',
  ),
  KEY_PASSPHRASE: row(
    7,
    'fix',
    EXIT.denied,
    'The passphrase is missing, empty, or does not open the key file, or the key file is not sealed.',
  ),
  KEY_NOT_IN_MANIFEST: row(
    7,
    'fix',
    EXIT.denied,
    'The manifest does not name the key, or not for this role.',
  ),
  // Sessions, transfers, crypto
  CRYPTO_OPEN_FAILED: row(
    15,
    'stop',
    EXIT.rejected,
    'Sealed bytes cannot be opened: they were altered or sealed to another key.',
  ),
  CRYPTO_KEY_INVALID: row(
    3,
    'stop',
    EXIT.rejected,
    'A public key or encapsulated key is malformed or has low order.',
  ),
  STREAM_TRUNCATED: row(15, 'stop', EXIT.rejected, 'A segment stream ended before its last segment.'),
  STREAM_TRAILING: row(15, 'stop', EXIT.rejected, 'A segment stream continued after its last segment.'),
  SESSION_SIGNATURE: row(16, 'stop', EXIT.denied, 'The signature of a session opening is invalid.'),
  SESSION_REPLAYED: row(16, 'stop', EXIT.denied, 'A session opening or message was received before.'),
  SESSION_NOT_FOUND: row(
    16,
    'retry',
    EXIT.temporary,
    'The session is unknown or has expired. Open a new one.',
  ),
  SESSION_EVIDENCE: row(
    16,
    'retry',
    EXIT.temporary,
    'The session refers to evidence that this agent did not issue or that is stale.',
  ),
  TRANSFER_NOT_FOUND: row(5, 'fix', EXIT.failed, 'The transfer is unknown.'),
  TRANSFER_DIGEST_MISMATCH: row(3, 'fix', EXIT.data, 'The data does not have the digest in the manifest.'),
  TRANSFER_SIZE_MISMATCH: row(3, 'fix', EXIT.data, 'The received data is longer or shorter than declared.'),
  INPUT_NOT_EXPECTED: row(
    9,
    'fix',
    EXIT.failed,
    'The input is not in the manifest, or it was already uploaded.',
  ),
  RESULT_NOT_READY: row(9, 'retry', EXIT.temporary, 'The computation has no result yet.'),
  RESULT_INVALID: row(15, 'stop', EXIT.rejected, 'A result file or receipt does not verify.'),
  RESULT_UNVERIFIED: row(
    7,
    'fix',
    EXIT.rejected,
    'A result was not verified, since evidence, manifest, policy or reference values are missing; the error names them.',
  ),
  TRANSFER_ENCODING: row(3, 'fix', EXIT.data, 'The input was declared as gzip but is not gzip.'),
  QUOTA_EXCEEDED: row(
    8,
    'fix',
    EXIT.failed,
    'A quota of the manifest, for one participant or for all inputs, is used up; the error names it.',
  ),
  // Algorithm
  ARCHIVE_UNSAFE: row(3, 'fix', EXIT.data, 'An archive contains a path, link or size that is not allowed.'),
  ALGORITHM_INVALID: row(
    3,
    'fix',
    EXIT.data,
    'The algorithm cannot be started as the kind that the manifest declares.',
  ),
  ALGORITHM_FAILED: row(9, 'fix', EXIT.failed, 'The algorithm exited with an error.'),
  ALGORITHM_LIMIT: row(
    8,
    'fix',
    EXIT.failed,
    'The algorithm exceeded its time, memory, process or disk limit.',
  ),
  SANDBOX_UNAVAILABLE: row(13, 'fix', EXIT.unavailable, 'The sandbox cannot be set up on this machine.'),
  COMPUTATION_FAILED: row(
    9,
    'stop',
    EXIT.failed,
    'The computation has failed or was stopped; the error contains the cause.',
  ),
  // Attestation
  EVIDENCE_INVALID: row(3, 'stop', EXIT.data, 'The evidence cannot be parsed.'),
  EVIDENCE_UNAVAILABLE: row(14, 'retry', EXIT.temporary, 'The platform did not provide a report.'),
  TPM_FAILED: row(14, 'retry', EXIT.temporary, 'The TPM does not respond or refused a command.'),
  COLLATERAL_UNAVAILABLE: row(
    14,
    'retry',
    EXIT.unavailable,
    'A collateral service did not provide collateral. Try again, or import its answers from files.',
  ),
  ATTEST_REJECTED: row(
    7,
    'stop',
    EXIT.rejected,
    'The appraisal rejected the evidence; the error lists the failed checks.',
  ),
  POLICY_INVALID: row(3, 'fix', EXIT.data, 'The appraisal policy is invalid.'),
  REFERENCE_INVALID: row(3, 'fix', EXIT.data, 'The reference values are invalid.'),
  MEASURE_UNSUPPORTED: row(
    9,
    'fix',
    EXIT.failed,
    'The launch cannot be measured: the firmware or the vCPU type is not supported.',
  ),
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof ERRORS;

/** Plain form of an error, safe to store, send and print. */
export interface ErrorJson {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

export class CocosError extends Error {
  override readonly name = 'CocosError';
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;
  /** Whether the message is the text of a library or of the system: good for a log, not for a person or a peer. */
  private isForeign = false;

  constructor(
    code: ErrorCode,
    message: string,
    options: { cause?: unknown; details?: Readonly<Record<string, unknown>> } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = options.details ?? {};
  }

  get action(): ErrorAction {
    return ERRORS[this.code].action;
  }

  get exit(): ExitCode {
    return ERRORS[this.code].exit;
  }

  /** Converts a thrown value: a CocosError is returned as is, anything else becomes the cause of a new one. */
  static from(thrown: unknown, code: ErrorCode = 'INTERNAL'): CocosError {
    if (thrown instanceof CocosError) return thrown;
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    const error = new CocosError(code, message, { cause: thrown });
    error.isForeign = true;
    return error;
  }

  /** The error that `toJSON` described, as a peer sent it or a machine stored it. */
  static fromJson({
    code,
    message,
    details,
  }: Omit<ErrorJson, 'details'> & { readonly details?: ErrorJson['details'] | undefined }): CocosError {
    return new CocosError(code, message, details === undefined ? {} : { details });
  }

  toJSON(): ErrorJson {
    if (this.isForeign) {
      return { code: this.code, message: ERRORS[this.code].doc, details: { reason: this.message } };
    }
    const base = { code: this.code, message: this.message };
    return Object.keys(this.details).length > 0 ? { ...base, details: this.details } : base;
  }
}

export function isErrorCode(value: string): value is ErrorCode {
  return Object.hasOwn(ERRORS, value);
}
