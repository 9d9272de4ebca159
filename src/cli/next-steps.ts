import type { ErrorCode } from '../errors.ts';

/** What a person should try next after an error, whatever its message says. Printed below the message. */
export const NEXT_STEPS: Readonly<Record<ErrorCode, string>> = {
  INPUT_INVALID: 'Correct the value that the message names.',
  USAGE: 'Add --help to the command to see its arguments and options.',
  FILE_NOT_FOUND: 'Check the name, and the folder that the command runs in.',
  FILE_UNREADABLE:
    'Check that the file is of the expected kind, that it may be read, and that the disk has room.',
  FILE_EXISTS: 'Choose another name, or move the existing file away.',
  CONFIG_INVALID: 'Correct the setting; docs/operator.md lists all of them with their values.',
  STATE_EVENT_ILLEGAL:
    'Wait for another state: cocos-cli actors show prints the present one and its legal events.',
  LIMIT_EXCEEDED: 'Send less, or ask the owner of the limit that the message names to raise it.',
  DEADLINE_EXCEEDED: 'Try again; if it lasts, check the load of the host and the network.',
  CANCELLED: 'Start it again if it was not meant to be cancelled.',
  INTERNAL: 'Report this as a bug, with the message, the details and the log.',
  ACTOR_NOT_PROVIDED: 'Report this as a bug, with the message and the log.',
  ACTOR_NOT_FOUND: 'List the addresses with: cocos-cli actors list',
  ENCLAVE_NOT_FOUND: 'List the enclaves with: cocos-cli enclave list',
  ENCLAVE_EXISTS: 'Choose another name, or remove the old one with: cocos-cli enclave remove',
  ENCLAVE_FAILED: 'Read its console with: cocos-cli enclave show. Then remove it and create it again.',
  SNAPSHOT_INVALID:
    'Create the enclave again, and look in the log of the manager for the record that was set aside.',
  STATE_LOCKED: 'Stop the other manager, or give this one its own COCOSAI_STATE_DIR.',
  HOST_QEMU_MISSING: 'Install QEMU on the host, or use COCOSAI_MODE=process.',
  HOST_IMAGE_MISSING: 'Build the image with: npm run eos, or set COCOSAI_EOS_DIR to the folder of one.',
  HOST_VSOCK_MISSING: 'Load the kernel module vhost-vsock, or install vhost-device-vsock.',
  HOST_TPM_MISSING: 'Install swtpm, or set COCOSAI_VTPM=off.',
  HOST_DISK_FULL: 'Free disk space on the host, then create the enclave again.',
  HOST_PORT_TAKEN: 'Stop the other process, or set COCOSAI_LISTEN to another address.',
  HOST_TEE_UNAVAILABLE: 'List what the host lacks with: cocos-cli host doctor',
  VM_LAUNCH_FAILED: 'Create the enclave again; if it fails again, read its log on the host.',
  VM_EXITED: 'Read its console with: cocos-cli enclave show. Then create the enclave again.',
  VM_DEVICE_LOST:
    'Create the enclave again; if it fails again, look for a crash of the device in the log of the host.',
  VM_PANIC: 'Read its console with: cocos-cli enclave show. Give the enclave more memory, or report a bug.',
  VM_BOOT_FAILED:
    'Check that image and settings belong together, and build the image again with: npm run eos',
  HOST_PROGRAM_MISSING: 'Build the programs again with: npm run build',
  STORE_FAILED:
    'Check that the disk of COCOSAI_STATE_DIR has room and can be written, then start the manager again.',
  MANAGER_UNAVAILABLE: 'Check that the manager runs, and that --manager or COCOSAI_MANAGER is its address.',
  AGENT_UNAVAILABLE:
    'Check the state of the enclave with: cocos-cli enclave show. Then run the command again.',
  LINK_LOST: 'Wait until the enclave is ready again, or look at it with: cocos-cli enclave show',
  LINK_PROTOCOL: 'Use a manager and an image of the same version; otherwise do not trust this enclave.',
  FRAME_INVALID: 'Use programs of the same version on both sides; otherwise do not trust the other side.',
  VSOCK_CONNECT: 'Wait until the guest has booted, then try again.',
  SERVICE_UNAVAILABLE: 'Check COCOSAI_SERVICE and the network; the manager keeps trying.',
  SERVICE_PROTOCOL: 'Tell the operator of the management service; the manager keeps its enclaves.',
  RUN_CONFLICT: 'Use a new id for the computation.',
  OUTBOX_FULL: 'Wait until the management service takes its events again.',
  OUTBOX_FAILED: 'Check that the disk of COCOSAI_STATE_DIR has room and can be written.',
  MANIFEST_INVALID:
    'Correct the member that the message names, or write the manifest with: cocos-cli manifest create',
  MANIFEST_DIGEST_MISMATCH:
    'Do not send anything. Compare digests with the other parties: cocos-cli manifest digest',
  KEY_FILE_INVALID:
    'Name a file that cocos-cli keys generate or keys import wrote, or restore it from a copy.',
  KEY_FILE_PERMISSIONS: 'Take the rights of others away with: chmod 600 FILE',
  KEY_PASSPHRASE:
    'Give the right passphrase with --passphrase-file; cocos-cli keys list shows which files are sealed.',
  KEY_NOT_IN_MANIFEST:
    'See what the manifest allows your key to do with: cocos-cli manifest check FILE --key KEY',
  CRYPTO_OPEN_FAILED: 'Check that you use the right key and an unaltered file; then get the data again.',
  CRYPTO_KEY_INVALID: 'Ask for the public key file again, and do not use this one.',
  STREAM_TRUNCATED: 'Get or send the data again.',
  STREAM_TRAILING: 'Do not use the data. Get it again from its source.',
  SESSION_SIGNATURE: 'Use the key file that belongs to your public key in the manifest.',
  SESSION_REPLAYED:
    'Run the command again. If it happens again, somebody between you and the enclave replays messages.',
  SESSION_NOT_FOUND: 'Run the command again: it opens a new session.',
  SESSION_EVIDENCE: 'Run the command again: it asks for new evidence.',
  TRANSFER_NOT_FOUND: 'Send the input again.',
  TRANSFER_DIGEST_MISMATCH:
    'Send the file that the manifest names: cocos-cli checksum prints the digest of yours.',
  TRANSFER_SIZE_MISMATCH: 'Send the input again when no other program writes to the file.',
  INPUT_NOT_EXPECTED:
    'See the inputs of the manifest with: cocos-cli manifest show, and those that arrived with: cocos-cli enclave show',
  RESULT_NOT_READY: 'Wait for the result with: cocos-cli run',
  RESULT_INVALID: 'Do not use the result. Get it again with: cocos-cli result get',
  RESULT_UNVERIFIED: 'Name what is missing with --manifest, --policy and --reference.',
  TRANSFER_ENCODING: 'Send the input again, without --compress if it fails again.',
  QUOTA_EXCEEDED: 'Send less, or agree on a manifest with a larger limit.',
  ARCHIVE_UNSAFE:
    'Remove the entry that the message names, or pack the folder again without links and special files.',
  ALGORITHM_INVALID: 'Correct the algorithm, or its --kind in the manifest.',
  ALGORITHM_FAILED:
    'Read the log: a consumer of the manifest sees it with cocos-cli run. Correct the algorithm, and agree on a new manifest.',
  ALGORITHM_LIMIT: 'Agree on a manifest with a larger --limit, or make the algorithm need less.',
  SANDBOX_UNAVAILABLE:
    'Install bubblewrap and the interpreter on the host in process mode; otherwise build the image again.',
  COMPUTATION_FAILED: 'Correct what the cause names, and create the enclave again.',
  EVIDENCE_INVALID:
    'Check that the file is what the option expects: cocos-cli attestation inspect shows what it is.',
  EVIDENCE_UNAVAILABLE: 'Try again; if it lasts, ask the operator to look at the platform of the host.',
  TPM_FAILED: 'Try again; if it lasts, create the enclave again.',
  COLLATERAL_UNAVAILABLE:
    'Try again later, or import saved answers with: cocos-cli attestation collateral import',
  ATTEST_REJECTED:
    'Do not trust this enclave. Check that policy, reference values and manifest are the agreed ones.',
  POLICY_INVALID:
    'Correct the policy, whose members docs/policy.md lists, or get the current signed one and name its signer with --policy-key.',
  REFERENCE_INVALID:
    'Use the reference-values.json that the build of the image wrote; list several builds under `builds`.',
  MEASURE_UNSUPPORTED:
    'Use a firmware with SEV metadata and a vCPU type that cocos-cli measure snp --help lists.',
};
