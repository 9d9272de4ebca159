import { sign } from 'node:crypto';
import { encodeDeterministic } from '../../../attestation/encoding/cbor.ts';
import type { LayerInputs, LayerKey } from './derive.ts';

/** CBOR certificates of the Open Profile for DICE: a COSE_Sign1 (RFC 9052) over a CWT claims map. */

const LABEL = {
  issuer: 1,
  subject: 2,
  codeHash: -4670545,
  configurationHash: -4670547,
  configurationDescriptor: -4670548,
  authorityHash: -4670549,
  mode: -4670551,
  subjectPublicKey: -4670552,
  keyUsage: -4670553,
} as const;
/** COSE algorithm EdDSA (RFC 9053). */
const EDDSA = -8;
/** X.509 key usage keyCertSign. */
const KEY_CERT_SIGN = Uint8Array.of(0x20);

/** COSE_Key of an Ed25519 key that verifies. */
export function coseKey(publicKey: Uint8Array): Uint8Array {
  const fields: [number, unknown][] = [
    [1, 1],
    [3, EDDSA],
    [4, [2]],
    [-1, 6],
    [-2, publicKey],
  ];
  return encodeDeterministic(new Map(fields));
}

/**
 * The certificate of a layer, signed by the layer before it.
 *
 * @param descriptor configuration descriptor whose hash is in the inputs; null if they hold the value itself
 */
export function layerCertificate(
  issuer: LayerKey,
  subject: Pick<LayerKey, 'publicKey' | 'id'>,
  inputs: Omit<LayerInputs, 'hidden'>,
  descriptor: Uint8Array | null,
): Uint8Array {
  const configuration: [number, unknown][] =
    descriptor === null
      ? [[LABEL.configurationDescriptor, inputs.configuration]]
      : [
          [LABEL.configurationHash, inputs.configuration],
          [LABEL.configurationDescriptor, descriptor],
        ];
  const claims: [number, unknown][] = [
    [LABEL.issuer, issuer.id],
    [LABEL.subject, subject.id],
    [LABEL.codeHash, inputs.code],
    ...configuration,
    [LABEL.authorityHash, inputs.authority],
    [LABEL.mode, Uint8Array.of(inputs.mode)],
    [LABEL.subjectPublicKey, coseKey(subject.publicKey)],
    [LABEL.keyUsage, KEY_CERT_SIGN],
  ];
  const header: [number, unknown][] = [[1, EDDSA]];
  const protectedHeader = encodeDeterministic(new Map(header));
  const payload = encodeDeterministic(new Map(claims));
  const signed = encodeDeterministic(['Signature1', protectedHeader, new Uint8Array(), payload]);
  const signature = new Uint8Array(sign(null, signed, issuer.privateKey));
  return encodeDeterministic([protectedHeader, new Map(), payload, signature]);
}
