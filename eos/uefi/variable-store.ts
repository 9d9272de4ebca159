import { guidBytes } from '../../src/attestation/measure/guid.ts';
import {
  GLOBAL_VARIABLE,
  SECURITY_DATABASE,
  signatureList,
  utf16,
  type Variable,
} from '../../src/attestation/measure/uefi-variables.ts';

/** The variable store of OVMF: EDK II's authenticated variables in a firmware volume. */

const STORE_GUID = 'aaf32c78-947b-439a-a180-2e144ec37792';
const SECURE_BOOT_ENABLE = 'f0a30bc7-af08-4556-99c4-001009c93a44';
const CUSTOM_MODE = 'c076ec0c-7028-4399-a072-71ee5c448b9f';
/** NON_VOLATILE, BOOTSERVICE_ACCESS, RUNTIME_ACCESS, TIME_BASED_AUTHENTICATED_WRITE_ACCESS. */
const ATTRIBUTES = { authenticated: 0x27, boot: 0x03 } as const;
const VOLUME_HEADER_BYTES = 0x48;
const STORE_HEADER_BYTES = 28;
const VARIABLE_HEADER_BYTES = 60;
const START_ID = 0x55aa;
const ADDED = 0x3f;
const ERASED = 0xff;
/** EFI_TIME 2020-01-01: only that later changes are newer matters, and the same keys give the same bytes. */
const TIME = Buffer.from([0xe4, 0x07, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);

export interface SecureBootCertificates {
  /** GUID of who enrols them. */
  readonly owner: string;
  readonly pk: Uint8Array;
  readonly kek: Uint8Array;
  readonly db: Uint8Array;
}

/** The variables that switch Secure Boot on with these certificates. */
export function secureBootVariables({ owner, pk, kek, db }: SecureBootCertificates): Variable[] {
  return [
    { name: 'PK', vendor: GLOBAL_VARIABLE, data: signatureList(owner, pk) },
    { name: 'KEK', vendor: GLOBAL_VARIABLE, data: signatureList(owner, kek) },
    { name: 'db', vendor: SECURITY_DATABASE, data: signatureList(owner, db) },
    { name: 'SecureBootEnable', vendor: SECURE_BOOT_ENABLE, data: Uint8Array.of(1) },
    { name: 'CustomMode', vendor: CUSTOM_MODE, data: Uint8Array.of(0) },
  ];
}

/** An empty store with variables put into it. */
export function writeVariables(empty: Uint8Array, variables: readonly Variable[]): Buffer {
  const store = Buffer.from(empty);
  const storeGuid = Buffer.from(guidBytes(STORE_GUID));
  if (!store.subarray(VOLUME_HEADER_BYTES, VOLUME_HEADER_BYTES + 16).equals(storeGuid)) {
    throw new Error('the firmware has no store of authenticated variables');
  }
  const end = VOLUME_HEADER_BYTES + store.readUInt32LE(VOLUME_HEADER_BYTES + 16);
  let at = VOLUME_HEADER_BYTES + STORE_HEADER_BYTES;
  for (const variable of variables) {
    const record = variableRecord(variable);
    if (at + record.length > end) throw new Error('the variable store is full');
    if (store.subarray(at, at + record.length).some((byte) => byte !== ERASED)) {
      throw new Error('the variable store is not empty');
    }
    record.copy(store, at);
    at = Math.ceil((at + record.length) / 4) * 4;
  }
  return store;
}

function variableRecord({ name, vendor, data }: Variable): Buffer {
  const encoded = Buffer.concat([utf16(name), Buffer.alloc(2)]);
  const isAuthenticated = vendor === GLOBAL_VARIABLE || vendor === SECURITY_DATABASE;
  const header = Buffer.alloc(VARIABLE_HEADER_BYTES);
  header.writeUInt16LE(START_ID, 0);
  header.writeUInt8(ADDED, 2);
  header.writeUInt32LE(isAuthenticated ? ATTRIBUTES.authenticated : ATTRIBUTES.boot, 4);
  if (isAuthenticated) TIME.copy(header, 16);
  header.writeUInt32LE(encoded.length, 36);
  header.writeUInt32LE(data.length, 40);
  Buffer.from(guidBytes(vendor)).copy(header, 44);
  return Buffer.concat([header, encoded, data]);
}
