import { utf8ToBytes } from '@noble/hashes/utils.js';
import { z } from 'zod';
import type { AttestationCrypto } from '../../crypto/crypto-port.ts';
import { CocosError } from '../../errors.ts';
import { base64UrlText } from '../encoding/base64url.ts';
import { parseStrictJson } from '../encoding/strict-json.ts';
import { base64UrlBytes } from '../x509/pem.ts';
import type { CheckName } from './checks.ts';
import type { Check, Verdict } from './verdict.ts';

/**
 * A verdict as an EAT attestation result (draft-ietf-rats-ear, with the trustworthiness vector of
 * draft-ietf-rats-ar4si), in a JSON Web Token signed with Ed25519 (RFC 7519, RFC 8037), for systems that consume verdicts.
 */

export const EAR_PROFILE = 'tag:github.com,2023:veraison/ear';
const DEVELOPER = 'CocosAI';
const MAX_TOKEN_CHARACTERS = 256 * 1024;

/** Tiers of the status and of each claim of the vector. */
const TIER = { none: 0, affirming: 2, warning: 32, contraindicated: 96 } as const;
type Status = keyof typeof TIER;
/** Claims of the vector with values other than their tier. */
const VECTOR = {
  /** The instance is recognised and not compromised. */
  trustworthyInstance: 2,
  cryptoFailed: 99,
  /** Configured as the policy requires. */
  approvedConfiguration: 2,
  unsafeConfiguration: 32,
  unsupportableConfiguration: 96,
  approvedBoot: 2,
  contraindicatedRuntime: 96,
  genuineHardware: 2,
  unsafeHardware: 32,
  contraindicatedHardware: 96,
  encryptedMemory: 2,
} as const;

const outcomeOf = (
  checks: readonly Check[],
  names: (name: CheckName) => boolean,
): 'passed' | 'failed' | 'none' => {
  const own = checks.filter(({ name, outcome }) => names(name) && outcome !== 'not-checked');
  if (own.length === 0) return 'none';
  return own.some(({ outcome }) => outcome === 'failed') ? 'failed' : 'passed';
};

/** The vector: each claim follows from its checks; a claim without checks is omitted. */
function trustVector({ checks, emulated }: Verdict): Record<string, number> {
  const claim = (name: string, names: (check: CheckName) => boolean, good: number, bad: number) => {
    const outcome = outcomeOf(checks, names);
    return outcome === 'none' ? [] : [[name, outcome === 'passed' ? good : bad] as const];
  };
  const starts =
    (...prefixes: string[]) =>
    (check: CheckName) =>
      prefixes.some((prefix) => check.startsWith(prefix));
  const genuine = emulated ? VECTOR.unsafeHardware : VECTOR.genuineHardware;
  return Object.fromEntries([
    ...claim(
      'instance-identity',
      starts('binding.', 'vtpm.key', 'vtpm.signature'),
      VECTOR.trustworthyInstance,
      VECTOR.cryptoFailed,
    ),
    ...claim(
      'configuration',
      starts('policy.'),
      VECTOR.approvedConfiguration,
      VECTOR.unsupportableConfiguration,
    ),
    ...claim(
      'executables',
      starts('launch.', 'tdx.mrtd', 'tdx.rtmr', 'vtpm.pcrs', 'vtpm.event', 'vtpm.reference', 'dice.code'),
      VECTOR.approvedBoot,
      VECTOR.contraindicatedRuntime,
    ),
    ...claim(
      'hardware',
      starts('chain.', 'report.', 'tdx.tcb', 'tdx.qe'),
      genuine,
      VECTOR.contraindicatedHardware,
    ),
    ...claim(
      'runtime-opaque',
      (check) => check === 'policy.debug',
      emulated ? VECTOR.unsafeConfiguration : VECTOR.encryptedMemory,
      TIER.contraindicated,
    ),
  ]);
}

function statusOf(verdict: Verdict): Status {
  if (verdict.outcome === 'rejected') return 'contraindicated';
  // An emulated platform proves nothing about hardware.
  return verdict.emulated ? 'warning' : 'affirming';
}

export interface EarOptions {
  /** Version of this verifier. */
  readonly build: string;
  /** `sha256:` digest of the policy. */
  readonly policyDigest?: string | undefined;
  /** The challenge that the evidence answered, base64url. */
  readonly nonce?: string | undefined;
}

/** The claims of the result, JSON data. */
export function earClaims(verdict: Verdict, options: EarOptions): Record<string, unknown> {
  const submodule = {
    'ear.status': statusOf(verdict),
    'ear.trustworthiness-vector': trustVector(verdict),
    ...(options.policyDigest === undefined ? {} : { 'ear.appraisal-policy-id': options.policyDigest }),
  };
  return {
    eat_profile: EAR_PROFILE,
    iat: Math.floor(verdict.at / 1000),
    'ear.verifier-id': { developer: DEVELOPER, build: options.build },
    ...(options.nonce === undefined ? {} : { eat_nonce: options.nonce }),
    submods: { [verdict.platform]: submodule },
    // Private claims, under a name that no other profile uses.
    'cocosai.evidence': verdict.evidenceDigest,
    'cocosai.emulated': verdict.emulated,
    'cocosai.failures': [...verdict.failures],
  };
}

/** Signs bytes with Ed25519 and returns 64 bytes. */
export type Signer = (message: Uint8Array) => Uint8Array;

const json64 = (value: unknown): string => base64UrlText(utf8ToBytes(JSON.stringify(value)));

/** The result as a JWT of algorithm EdDSA. */
export function signEar(claims: Record<string, unknown>, keyId: string, signer: Signer): string {
  const head = `${json64({ alg: 'EdDSA', typ: 'JWT', kid: keyId })}.${json64(claims)}`;
  return `${head}.${base64UrlText(signer(utf8ToBytes(head)))}`;
}

const Header = z.object({
  alg: z.literal('EdDSA'),
  kid: z.string().optional(),
  crit: z.unknown().optional(),
  b64: z.unknown().optional(),
});
const Claims = z.looseObject({
  eat_profile: z.literal(EAR_PROFILE),
  iat: z.int(),
  exp: z.number().optional(),
  nbf: z.number().optional(),
  'cocosai.failures': z.array(z.string()).optional(),
  submods: z.record(
    z.string(),
    z.looseObject({
      'ear.status': z.enum(['none', 'affirming', 'warning', 'contraindicated']),
      'ear.trustworthiness-vector': z.record(z.string(), z.int().min(-128).max(127)).optional(),
    }),
  ),
});

/** The tier of a claim of the vector (draft-ietf-rats-ar4si 2.3.2); those between -1 and 1 state nothing. */
export function tierOf(claim: number): Status {
  if (claim >= 96 || claim < -96) return 'contraindicated';
  if (claim >= 32 || claim < -32) return 'warning';
  return claim >= 2 || claim < -1 ? 'affirming' : 'none';
}

/**
 * Verifies a token and returns its claims. What they say is the caller's to judge: status, vector and times.
 *
 * @param publicKey 32 bytes of the verifier's Ed25519 key.
 * @throws CocosError EVIDENCE_INVALID for another kind of token, ATTEST_REJECTED for an invalid signature.
 */
export function verifyEar(
  token: string,
  publicKey: Uint8Array,
  crypto: AttestationCrypto,
): z.infer<typeof Claims> {
  const [header = '', payload = '', signature = '', ...more] = token.split('.');
  if (token.length > MAX_TOKEN_CHARACTERS || more.length > 0) {
    throw new CocosError('EVIDENCE_INVALID', 'the token is not a JWT');
  }
  const read = (text: string): unknown => {
    try {
      return parseStrictJson(new TextDecoder('utf-8', { fatal: true }).decode(base64UrlBytes(text)));
    } catch (cause) {
      throw new CocosError('EVIDENCE_INVALID', 'the token is not a JWT', { cause });
    }
  };
  const head = Header.safeParse(read(header));
  if (!head.success) throw new CocosError('EVIDENCE_INVALID', 'the token is not signed with EdDSA');
  // RFC 7515 4.1.11: critical extensions must be understood, and this verifier understands none, b64 (RFC 7797) included.
  const { crit, b64 } = head.data;
  if (crit !== undefined || (b64 !== undefined && b64 !== true))
    throw new CocosError('EVIDENCE_INVALID', 'the header of the token has critical extensions (crit, b64)');
  if (!crypto.verifyEd25519(publicKey, utf8ToBytes(`${header}.${payload}`), base64UrlBytes(signature))) {
    throw new CocosError('ATTEST_REJECTED', 'the signature of the token is invalid');
  }
  const claims = Claims.safeParse(read(payload));
  if (!claims.success) {
    throw new CocosError('EVIDENCE_INVALID', 'the token is not an attestation result', {
      cause: claims.error,
    });
  }
  return claims.data;
}
