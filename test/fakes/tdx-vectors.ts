import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { Collateral } from '../../src/attestation/collateral/collateral.ts';
import { splitSignedJson } from '../../src/attestation/tdx/signed-json.ts';
import { certificateDers } from '../../src/attestation/x509/pem.ts';
import { vectorsDir } from '../vectors.ts';

/** Quotes of real trust domains with the collateral of each. */

const folder = join(vectorsDir(), 'tdx');
const load = (...parts: string[]): Uint8Array => new Uint8Array(readFileSync(join(folder, ...parts)));
const text = (...parts: string[]): string => readFileSync(join(folder, ...parts), 'utf8');

const Whole = z.object({
  tcb_info: z.string(),
  tcb_info_signature: z.string(),
  tcb_info_issuer_chain: z.string(),
  qe_identity: z.string(),
  qe_identity_signature: z.string(),
  root_ca_crl: z.string(),
  pck_crl: z.string(),
});
const Case = z.object({ verify_at: z.string() });

export const TDX_CASES = ['v4-full-collateral', 'v4-prod-spr', 'v4-debug-td', 'v5-tdx15'] as const;
export type TdxCase = (typeof TDX_CASES)[number];

const bytes = (hexText: string): Uint8Array => new Uint8Array(Buffer.from(hexText, 'hex'));
const utf8 = (value: string): Uint8Array => new TextEncoder().encode(value);

function wholeCollateral(): Collateral {
  const whole = Whole.parse(JSON.parse(text('v4-full-collateral', 'collateral.json')));
  return {
    certificates: certificateDers(utf8(whole.tcb_info_issuer_chain)),
    revocationLists: [bytes(whole.root_ca_crl), bytes(whole.pck_crl)],
    tcbInfos: [{ body: utf8(whole.tcb_info), signature: bytes(whole.tcb_info_signature) }],
    qeIdentities: [{ body: utf8(whole.qe_identity), signature: bytes(whole.qe_identity_signature) }],
  };
}

function collateralOf(name: TdxCase): Collateral {
  const tcbInfos = () => [splitSignedJson(text(name, 'tcb_info.json'), 'tcbInfo')];
  const chain = () => certificateDers(load(name, 'tcb_info_issuer_chain.pem'));
  switch (name) {
    case 'v4-full-collateral':
      return wholeCollateral();
    case 'v4-prod-spr':
      return {
        certificates: chain(),
        revocationLists: [load(name, 'root_ca.crl'), load(name, 'pck_platform.crl')],
        tcbInfos: tcbInfos(),
        qeIdentities: [splitSignedJson(text(name, 'qe_identity.json'), 'enclaveIdentity')],
      };
    case 'v5-tdx15':
      return { certificates: chain(), revocationLists: [], tcbInfos: tcbInfos(), qeIdentities: [] };
    case 'v4-debug-td':
      return { certificates: [], revocationLists: [], tcbInfos: [], qeIdentities: [] };
  }
}

export interface TdxVector {
  readonly quote: Uint8Array;
  readonly collateral: Collateral;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** Content of expected.json. */
  readonly expected: unknown;
}

export function openTdx(name: TdxCase): TdxVector {
  const expected: unknown = JSON.parse(text(name, 'expected.json'));
  const { verify_at } = Case.parse(expected);
  return {
    quote: load(name, 'quote.bin'),
    collateral: collateralOf(name),
    at: Date.parse(verify_at),
    expected,
  };
}
