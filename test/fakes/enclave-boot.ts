import { createHash, generateKeyPairSync } from 'node:crypto';
import { type Claims, qualifyingData } from '../../src/attestation/evidence/claims.ts';
import type { VtpmEvidence } from '../../src/attestation/evidence/evidence.ts';
import { attestationCrypto as crypto } from '../../src/crypto/attestation-crypto.ts';
import { claims as plainClaims } from './emulated-host.ts';
import { cborLayer, newKey, rawKey } from './fake-dice.ts';
import { attest, ecdsaSignature, eventLog, extendAll, type LogEvent, publicArea } from './fake-tpm.ts';

export const sha256 = (bytes: Uint8Array) => new Uint8Array(createHash('sha256').update(bytes).digest());

/** One boot of one enclave with a TPM and a chain of two layers. */
export function createBoot(bootId: number) {
  const { privateKey: ak } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const [root, first, leaf] = [newKey(), newKey(), newKey()];
  const chain = [
    cborLayer({ issuerKey: root, subjectKey: first }),
    cborLayer({ issuerKey: first, subjectKey: leaf }),
  ];
  const events: LogEvent[] = [
    { register: 4, type: 0x80000003, data: new TextEncoder().encode(`boot ${bootId}`) },
    { register: 15, type: 4, data: new Uint8Array(4) },
  ];
  const claims: Claims = {
    ...plainClaims,
    kemKeys: [...plainClaims.kemKeys],
    bootId: new Uint8Array(16).fill(bootId),
    tpmAk: publicArea(ak),
    diceLeaf: sha256(chain[1] ?? new Uint8Array()),
    diceRoot: sha256(rawKey(root)),
  };
  const quote = (nonce: Uint8Array, claimsBytes: Uint8Array, key = ak): VtpmEvidence => {
    const pcrs = extendAll(events);
    const statement = attest(new Map([['sha256', pcrs]]), {
      extraData: qualifyingData(nonce, claimsBytes, crypto),
    });
    return {
      attest: statement,
      signature: ecdsaSignature(statement, key),
      bank: 'sha256',
      pcrs: Object.fromEntries([...pcrs].map(([pcr, value]) => [String(pcr), value])),
      eventLog: eventLog(events),
    };
  };
  const dice = { format: 'cbor' as const, rootKey: rawKey(root), chain };
  return { claims, quote, dice, ak, events };
}
