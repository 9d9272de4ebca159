/**
 * The one error type of the project and the table of its stable codes.
 *
 * A code never changes its meaning; tests and programs match codes, people read the sentence.
 */

/** What the caller should do: mend the input, try the same again, or stop because trust is broken. */
export type ErrorAction = 'fix' | 'retry' | 'stop';

/** Process exit codes of the command line, from sysexits.h where one fits. */
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
  /** One sentence for docs/errors.md: when it happens and what to do. */
  readonly doc: string;
}

const row = (grpc: number, action: ErrorAction, exit: ExitCode, doc: string): ErrorRow => ({
  grpc,
  action,
  exit,
  doc,
});

/** Every code of the project. Rows are grouped by area; a new code goes to the end of its area. */
export const ERRORS = {
  // Input and state
  INPUT_INVALID: row(
    3,
    'fix',
    EXIT.data,
    'A value that was sent or read does not have the form it must have.',
  ),
  USAGE: row(
    3,
    'fix',
    EXIT.usage,
    'The command line has an unknown option, a missing argument or a bad value.',
  ),
  FILE_NOT_FOUND: row(5, 'fix', EXIT.noInput, 'A file named on the command line does not exist.'),
  FILE_UNREADABLE: row(
    3,
    'fix',
    EXIT.io,
    'A file exists but cannot be read or does not hold what was expected.',
  ),
  FILE_EXISTS: row(6, 'fix', EXIT.cannotCreate, 'The output file is there already and is not overwritten.'),
  CONFIG_INVALID: row(3, 'fix', EXIT.config, 'A setting has a value that is not allowed.'),
  STATE_EVENT_ILLEGAL: row(
    9,
    'fix',
    EXIT.failed,
    'The event is not allowed in the present state; the legal ones are listed.',
  ),
  LIMIT_EXCEEDED: row(8, 'fix', EXIT.failed, 'A size, count or time limit was exceeded.'),
  DEADLINE_EXCEEDED: row(4, 'retry', EXIT.temporary, 'The operation did not end in the time it was given.'),
  CANCELLED: row(1, 'retry', EXIT.failed, 'The operation was cancelled by the caller.'),
  INTERNAL: row(13, 'stop', EXIT.internal, 'A fault of this program; the log has the cause.'),
  // Actors, enclaves
  ACTOR_NOT_PROVIDED: row(13, 'stop', EXIT.internal, 'A machine was started without one of its actors.'),
  ACTOR_NOT_FOUND: row(5, 'fix', EXIT.failed, 'No actor has this address.'),
  ENCLAVE_NOT_FOUND: row(5, 'fix', EXIT.failed, 'No enclave has this name or id.'),
  ENCLAVE_EXISTS: row(6, 'fix', EXIT.failed, 'An enclave with this name exists already.'),
  ENCLAVE_FAILED: row(9, 'stop', EXIT.failed, 'The enclave has failed; its cause is given.'),
  SNAPSHOT_INVALID: row(
    15,
    'stop',
    EXIT.data,
    'A stored record is damaged or of an unknown version; it was set aside and the rest goes on.',
  ),
  STATE_LOCKED: row(6, 'fix', EXIT.unavailable, 'Another manager works on the same state folder.'),
  // Host
  HOST_QEMU_MISSING: row(9, 'fix', EXIT.unavailable, 'No QEMU was found on the host.'),
  HOST_IMAGE_MISSING: row(
    9,
    'fix',
    EXIT.unavailable,
    'The EOS image was not found; build it with npm run eos.',
  ),
  HOST_VSOCK_MISSING: row(
    9,
    'fix',
    EXIT.unavailable,
    'Neither the kernel nor vhost-device-vsock offers a vsock device.',
  ),
  HOST_TPM_MISSING: row(
    9,
    'fix',
    EXIT.unavailable,
    'No swtpm was found on the host; install it, or set COCOSAI_VTPM=off.',
  ),
  HOST_DISK_FULL: row(8, 'fix', EXIT.cannotCreate, 'The host has too little disk space for the enclave.'),
  HOST_PORT_TAKEN: row(6, 'fix', EXIT.unavailable, 'The address to listen on is taken by another process.'),
  VM_LAUNCH_FAILED: row(13, 'retry', EXIT.failed, 'The virtual machine could not be started.'),
  VM_EXITED: row(14, 'retry', EXIT.failed, 'The virtual machine ended although nobody asked it to.'),
  VM_DEVICE_LOST: row(
    14,
    'retry',
    EXIT.failed,
    'A process that serves the virtual machine ended before it: its TPM or its vsock device.',
  ),
  VM_PANIC: row(14, 'stop', EXIT.failed, 'The guest kernel panicked.'),
  VM_BOOT_FAILED: row(14, 'stop', EXIT.failed, 'A step of the boot failed in the guest; it is named.'),
  // Manager, relay, link
  MANAGER_UNAVAILABLE: row(14, 'retry', EXIT.unavailable, 'The manager does not answer at its address.'),
  AGENT_UNAVAILABLE: row(14, 'retry', EXIT.unavailable, 'The agent cannot be reached through the relay.'),
  LINK_LOST: row(14, 'retry', EXIT.temporary, 'The link between manager and agent broke.'),
  LINK_PROTOCOL: row(15, 'stop', EXIT.failed, 'The peer of a link broke the protocol.'),
  FRAME_INVALID: row(15, 'stop', EXIT.failed, 'A frame is too large, malformed or of an unknown kind.'),
  VSOCK_CONNECT: row(14, 'retry', EXIT.unavailable, 'A vsock connection could not be made.'),
  // Management service
  SERVICE_UNAVAILABLE: row(14, 'retry', EXIT.unavailable, 'The management service does not answer.'),
  SERVICE_PROTOCOL: row(15, 'stop', EXIT.failed, 'The management service broke the protocol.'),
  RUN_CONFLICT: row(
    6,
    'fix',
    EXIT.failed,
    'The computation was asked for before on other terms; a new one needs a new id.',
  ),
  OUTBOX_FULL: row(
    8,
    'retry',
    EXIT.temporary,
    'The outbox holds as many events as it may; it empties when the management service is back.',
  ),
  OUTBOX_FAILED: row(13, 'retry', EXIT.io, 'The outbox cannot be written; look at the disk of the store.'),
  // Manifest and keys
  MANIFEST_INVALID: row(3, 'fix', EXIT.data, 'The manifest is not valid JSON of the documented form.'),
  MANIFEST_DIGEST_MISMATCH: row(
    7,
    'stop',
    EXIT.rejected,
    'The enclave holds another manifest than the one agreed to.',
  ),
  KEY_FILE_INVALID: row(3, 'fix', EXIT.data, 'A key file is damaged or is not a key file.'),
  KEY_FILE_PERMISSIONS: row(
    7,
    'fix',
    EXIT.denied,
    'A key file can be read by others; its mode must be 0600.',
  ),
  KEY_PASSPHRASE: row(7, 'fix', EXIT.denied, 'The passphrase does not open the key file.'),
  KEY_NOT_IN_MANIFEST: row(7, 'fix', EXIT.denied, 'The key has no part, or not this one, in the manifest.'),
  // Sessions, transfers, crypto
  CRYPTO_OPEN_FAILED: row(
    15,
    'stop',
    EXIT.rejected,
    'Sealed bytes do not open: altered, or sealed to another key.',
  ),
  CRYPTO_KEY_INVALID: row(
    3,
    'stop',
    EXIT.rejected,
    'A public key or encapsulated key is malformed or of low order.',
  ),
  STREAM_TRUNCATED: row(15, 'stop', EXIT.rejected, 'A segment stream ended before its last segment.'),
  STREAM_TRAILING: row(15, 'stop', EXIT.rejected, 'A segment stream went on after its last segment.'),
  SESSION_SIGNATURE: row(16, 'stop', EXIT.denied, 'The signature of a session opening is wrong.'),
  SESSION_REPLAYED: row(16, 'stop', EXIT.denied, 'A session opening or message was seen before.'),
  SESSION_NOT_FOUND: row(
    16,
    'retry',
    EXIT.temporary,
    'The session is unknown or has expired; open a new one.',
  ),
  SESSION_EVIDENCE: row(
    16,
    'retry',
    EXIT.temporary,
    'The session refers to evidence this agent did not give or that is stale.',
  ),
  TRANSFER_NOT_FOUND: row(5, 'fix', EXIT.failed, 'The transfer is unknown.'),
  TRANSFER_DIGEST_MISMATCH: row(
    3,
    'fix',
    EXIT.data,
    'The bytes received do not have the digest in the manifest.',
  ),
  TRANSFER_SIZE_MISMATCH: row(3, 'fix', EXIT.data, 'The bytes received are more or fewer than declared.'),
  INPUT_NOT_EXPECTED: row(9, 'fix', EXIT.failed, 'The input is not in the manifest or was taken in already.'),
  RESULT_NOT_READY: row(9, 'retry', EXIT.temporary, 'The computation has no result yet.'),
  RESULT_INVALID: row(15, 'stop', EXIT.rejected, 'A result file or receipt does not verify.'),
  TRANSFER_ENCODING: row(3, 'fix', EXIT.data, 'An input was declared as gzip but is not gzip.'),
  QUOTA_EXCEEDED: row(
    8,
    'fix',
    EXIT.failed,
    'A quota of the manifest, for one participant or for all inputs, is used up; it is named.',
  ),
  // Algorithm
  ARCHIVE_UNSAFE: row(3, 'fix', EXIT.data, 'An archive holds a path, link or size that is not allowed.'),
  ALGORITHM_INVALID: row(3, 'fix', EXIT.data, 'The algorithm cannot be started in its declared kind.'),
  ALGORITHM_FAILED: row(9, 'fix', EXIT.failed, 'The algorithm ended with an error.'),
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
    'The computation has failed or was stopped; its cause is given.',
  ),
  // Attestation
  EVIDENCE_INVALID: row(3, 'stop', EXIT.io, 'Evidence cannot be parsed.'),
  EVIDENCE_UNAVAILABLE: row(14, 'retry', EXIT.temporary, 'The platform did not give a report.'),
  TPM_FAILED: row(14, 'retry', EXIT.temporary, 'The TPM does not answer, or refused a command.'),
  COLLATERAL_UNAVAILABLE: row(
    14,
    'retry',
    EXIT.unavailable,
    'A service gave no collateral; try again, or import its answers from files.',
  ),
  ATTEST_REJECTED: row(
    7,
    'stop',
    EXIT.rejected,
    'Appraisal rejected the evidence; the failed checks are listed.',
  ),
  POLICY_INVALID: row(3, 'fix', EXIT.io, 'The appraisal policy is not valid.'),
  REFERENCE_INVALID: row(3, 'fix', EXIT.io, 'The reference values are not valid.'),
  MEASURE_UNSUPPORTED: row(
    9,
    'fix',
    EXIT.failed,
    'The launch cannot be measured: firmware or vCPU type does not allow it.',
  ),
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof ERRORS;

/** Plain form of an error: safe to store, to send and to print. */
export interface ErrorJson {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

export class CocosError extends Error {
  override readonly name = 'CocosError';
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

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

  /** Any thrown value as a CocosError: itself, or wrapped under `code` with the cause kept. */
  static from(thrown: unknown, code: ErrorCode = 'INTERNAL'): CocosError {
    if (thrown instanceof CocosError) return thrown;
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    return new CocosError(code, message, { cause: thrown });
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
    const base = { code: this.code, message: this.message };
    return Object.keys(this.details).length > 0 ? { ...base, details: this.details } : base;
  }
}

export function isErrorCode(value: string): value is ErrorCode {
  return Object.hasOwn(ERRORS, value);
}
