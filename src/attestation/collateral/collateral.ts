/**
 * Collateral: data that vendors publish about their platforms. All of it is signed by its vendor, so its storage and
 * transport need no trust.
 */

/** A signed JSON object of Intel's provisioning service. */
export interface SignedJson {
  /** The object exactly as it was signed, never re-encoded. */
  readonly body: Uint8Array;
  /** ECDSA P-256, r ‖ s. */
  readonly signature: Uint8Array;
}

export interface Collateral {
  /** Certificates in DER that evidence may lack: authorities, endorsement keys, TCB signing keys. */
  readonly certificates: readonly Uint8Array[];
  /** Revocation lists in DER. */
  readonly revocationLists: readonly Uint8Array[];
  /** TCB information, of any platforms. */
  readonly tcbInfos: readonly SignedJson[];
  /** Identities of quoting enclaves. */
  readonly qeIdentities: readonly SignedJson[];
}

export const NO_COLLATERAL: Collateral = {
  certificates: [],
  revocationLists: [],
  tcbInfos: [],
  qeIdentities: [],
};
