import type { EcCurve, SignatureHash } from '../../crypto/crypto-port.ts';

/** Numbers of TPM 2.0 (Library specification, part 2: TPM_ALG_ID, TPM_ECC_CURVE) as far as quotes use them. */
export const TPM_ALG = {
  rsa: 0x0001,
  null: 0x0010,
  rsassa: 0x0014,
  rsapss: 0x0016,
  ecdsa: 0x0018,
  ecc: 0x0023,
} as const;

export const SIGNATURE_HASHES: Readonly<Record<number, SignatureHash>> = {
  11: 'sha256',
  12: 'sha384',
  13: 'sha512',
};

export const TPM_CURVES: Readonly<Record<number, EcCurve>> = { 3: 'P-256', 4: 'P-384' };

export const FIELD_BYTES: Readonly<Record<EcCurve, number>> = { 'P-256': 32, 'P-384': 48 };

export type TpmScheme = 'rsassa' | 'rsapss' | 'ecdsa';

const SCHEMES: Readonly<Record<number, TpmScheme>> = {
  [TPM_ALG.rsassa]: 'rsassa',
  [TPM_ALG.rsapss]: 'rsapss',
  [TPM_ALG.ecdsa]: 'ecdsa',
};

/** Name of a signing scheme; undefined for any other algorithm. */
export const schemeOf = (id: number): TpmScheme | undefined => SCHEMES[id];
