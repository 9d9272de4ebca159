import type { AttestationCrypto, HashName } from '../../crypto/crypto-port.ts';
import type { VtpmReference } from '../policy/reference.ts';
import type { VtpmPolicy } from './policy-rules.ts';
import type { AttestationKey } from './public-area.ts';

/** Values of PCRs, for each bank. */
export type PcrBanks = ReadonlyMap<HashName, ReadonlyMap<number, Uint8Array>>;

export interface QuoteInput {
  /** TPMS_ATTEST. */
  readonly attest: Uint8Array;
  /** TPMT_SIGNATURE, or a plain signature. */
  readonly signature: Uint8Array;
  /** Null when the key could not be read; the caller has recorded why. */
  readonly key: AttestationKey | null;
  /** Qualifying data that the quote must contain. */
  readonly qualifyingData: Uint8Array | undefined;
  /** Values sent with the quote; null for none. */
  readonly pcrs: PcrBanks | null;
  readonly eventLog: Uint8Array | undefined;
  readonly policy: VtpmPolicy;
  readonly reference: VtpmReference | undefined;
  readonly crypto: AttestationCrypto;
}
