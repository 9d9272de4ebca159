import { concatBytes } from '@noble/hashes/utils.js';
import { guidBytes } from './guid.ts';

/** UEFI variables and signature lists (UEFI Specification, 8.2 and 32.4.1), as firmware measures them. */

/** Vendor of PK, KEK and SecureBoot. */
export const GLOBAL_VARIABLE = '8be4df61-93ca-11d2-aa0d-00e098032b8c';
/** Vendor of db and dbx. */
export const SECURITY_DATABASE = 'd719b2cb-3d3a-4596-a3bc-dad00e67656f';
const CERT_X509 = 'a5c059a1-94e4-4aa7-87b5-ab155c2bf072';

export interface Variable {
  readonly name: string;
  readonly vendor: string;
  readonly data: Uint8Array;
}

function little(value: number, bytes: number): Uint8Array {
  const out = new Uint8Array(bytes);
  new DataView(out.buffer).setUint32(0, value, true);
  return out;
}

/** UTF-16LE without a terminator. */
export function utf16(text: string): Uint8Array {
  const out = new Uint8Array(text.length * 2);
  const view = new DataView(out.buffer);
  for (let i = 0; i < text.length; i++) view.setUint16(i * 2, text.charCodeAt(i), true);
  return out;
}

/** EFI_SIGNATURE_DATA: the owner of the certificate, and the certificate. */
export function signatureData(owner: string, certificate: Uint8Array): Uint8Array {
  return concatBytes(guidBytes(owner), certificate);
}

/** EFI_SIGNATURE_LIST with one X.509 certificate. */
export function signatureList(owner: string, certificate: Uint8Array): Uint8Array {
  const data = signatureData(owner, certificate);
  const listSize = 28 + data.length;
  return concatBytes(guidBytes(CERT_X509), little(listSize, 4), little(0, 4), little(data.length, 4), data);
}

/** UEFI_VARIABLE_DATA (TCG PC Client Platform Firmware Profile, 10.4.4.1): the data of its event. */
export function variableEvent({ name, vendor, data }: Variable): Uint8Array {
  return concatBytes(guidBytes(vendor), little(name.length, 8), little(data.length, 8), utf16(name), data);
}
