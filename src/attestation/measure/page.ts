import type { AttestationHashes } from '../../crypto/crypto-port.ts';

/**
 * The SEV-SNP launch digest, one page at a time (SEV-SNP ABI specification, PAGE_INFO of SNP_LAUNCH_UPDATE).
 */

export const PAGE_BYTES = 4096;
const LAUNCH_DIGEST_BYTES = 48;
const PAGE_INFO_BYTES = 0x70;

/** PAGE_TYPE of SNP_LAUNCH_UPDATE. */
export const PAGE_TYPE = { normal: 1, vmsa: 2, zero: 3, unmeasured: 4, secrets: 5, cpuid: 6 } as const;

type PageType = (typeof PAGE_TYPE)[keyof typeof PAGE_TYPE];

/** GPA under which every VMSA page is measured. */
const VMSA_GPA = 0xffff_ffff_f000;

/** The digest before the first page. */
export function initialDigest(): Uint8Array {
  return new Uint8Array(LAUNCH_DIGEST_BYTES);
}

function extend(
  digest: Uint8Array,
  type: PageType,
  gpa: number,
  contents: Uint8Array | null,
  hashes: AttestationHashes,
): Uint8Array {
  const info = new Uint8Array(PAGE_INFO_BYTES);
  info.set(digest, 0x00);
  // CONTENTS is zero for pages whose bytes do not come from the host.
  if (contents !== null) info.set(hashes.sha384(contents), 0x30);
  const view = new DataView(info.buffer);
  view.setUint16(0x60, PAGE_INFO_BYTES, true);
  view.setUint8(0x62, type);
  view.setBigUint64(0x68, BigInt(gpa), true);
  return hashes.sha384(info);
}

/** Extends the digest by pages with contents. `bytes` is a multiple of 4096 long. */
export function extendNormal(
  digest: Uint8Array,
  gpa: number,
  bytes: Uint8Array,
  hashes: AttestationHashes,
): Uint8Array {
  let state = digest;
  for (let at = 0; at < bytes.length; at += PAGE_BYTES) {
    state = extend(state, PAGE_TYPE.normal, gpa + at, bytes.subarray(at, at + PAGE_BYTES), hashes);
  }
  return state;
}

/** Extends the digest by `size` bytes of pages without measured contents. */
export function extendBare(
  digest: Uint8Array,
  type: Exclude<PageType, 1 | 2>,
  gpa: number,
  size: number,
  hashes: AttestationHashes,
): Uint8Array {
  let state = digest;
  for (let at = 0; at < size; at += PAGE_BYTES) state = extend(state, type, gpa + at, null, hashes);
  return state;
}

/** Extends the digest by one vCPU's save area. */
export function extendVmsa(digest: Uint8Array, page: Uint8Array, hashes: AttestationHashes): Uint8Array {
  return extend(digest, PAGE_TYPE.vmsa, VMSA_GPA, page, hashes);
}
