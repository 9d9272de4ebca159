import { hexToBytes } from '@noble/hashes/utils.js';
import { z } from 'zod';
import { CocosError } from '../../errors.ts';
import { splitSignedJson } from '../tdx/signed-json.ts';
import { parseCertificate } from '../x509/certificate.ts';
import { looksLikeCrl, parseCrl } from '../x509/crl.ts';
import { looksLikeDer, looksLikePem, pemBlocks } from '../x509/pem.ts';
import { type Collateral, NO_COLLATERAL } from './collateral.ts';

/**
 * Collateral in the formats of vendor services and of saved answers: DER, PEM, PEM in a percent-encoded header, DER in
 * hex, signed JSON, and a JSON file with all collateral of a platform.
 */

/** Size limit of a file. */
export const MAX_COLLATERAL_FILE_BYTES = 4 * 1024 * 1024;

/** The collateral in one file; null for another kind of file. */
type Classified = Collateral | null;

const only = (part: Partial<Collateral>): Collateral => ({ ...NO_COLLATERAL, ...part });

/** Merges several pieces. */
export function mergeCollateral(parts: readonly Collateral[]): Collateral {
  return {
    certificates: parts.flatMap(({ certificates }) => certificates),
    revocationLists: parts.flatMap(({ revocationLists }) => revocationLists),
    tcbInfos: parts.flatMap(({ tcbInfos }) => tcbInfos),
    qeIdentities: parts.flatMap(({ qeIdentities }) => qeIdentities),
  };
}

function fromDer(der: Uint8Array): Classified {
  if (looksLikeCrl(der)) {
    parseCrl(der);
    return only({ revocationLists: [der] });
  }
  try {
    parseCertificate(der);
    return only({ certificates: [der] });
  } catch {
    return null;
  }
}

function fromPem(text: string): Classified {
  const parts: Collateral[] = [];
  for (const { label, der } of pemBlocks(text)) {
    if (label !== 'CERTIFICATE' && label !== 'X509 CRL') continue;
    const part = fromDer(der);
    if (part === null)
      throw new CocosError('EVIDENCE_INVALID', `the PEM block ${label} does not contain one`);
    parts.push(part);
  }
  return parts.length === 0 ? null : mergeCollateral(parts);
}

/** A file with all collateral of a platform, as verification libraries write it. */
const Whole = z.object({
  tcb_info: z.string(),
  tcb_info_signature: z.string().regex(/^[0-9a-fA-F]{128}$/),
  tcb_info_issuer_chain: z.string().optional(),
  qe_identity: z.string().optional(),
  qe_identity_signature: z
    .string()
    .regex(/^[0-9a-fA-F]{128}$/)
    .optional(),
  qe_identity_issuer_chain: z.string().optional(),
  pck_crl_issuer_chain: z.string().optional(),
  root_ca_crl: z.string().optional(),
  pck_crl: z.string().optional(),
});

function fromWhole(whole: z.infer<typeof Whole>): Collateral {
  const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
  const signature = (text: string): Uint8Array => hexToBytes(text.toLowerCase());
  const names = [
    'tcb_info_issuer_chain',
    'qe_identity_issuer_chain',
    'pck_crl_issuer_chain',
    'root_ca_crl',
    'pck_crl',
  ] as const;
  const others = names.flatMap((name) => {
    const text = whole[name];
    if (text === undefined) return [];
    const part = fromText(text);
    if (part === null) throw new CocosError('EVIDENCE_INVALID', `${name} is not in PEM or DER in hex`);
    return [part];
  });
  const { qe_identity: identity, qe_identity_signature: identitySignature } = whole;
  return mergeCollateral([
    ...others,
    only({
      tcbInfos: [{ body: utf8(whole.tcb_info), signature: signature(whole.tcb_info_signature) }],
      qeIdentities:
        identity === undefined || identitySignature === undefined
          ? []
          : [{ body: utf8(identity), signature: signature(identitySignature) }],
    }),
  ]);
}

function fromJson(text: string): Classified {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    // A damaged answer of Intel's service is not another kind of file: it may be the newest.
    if (/"(?:tcbInfo|enclaveIdentity|tcb_info)"/.test(text))
      throw new CocosError('EVIDENCE_INVALID', 'damaged JSON of signed collateral', { cause });
    return null;
  }
  if (typeof json !== 'object' || json === null) return null;
  if ('tcbInfo' in json) return only({ tcbInfos: [splitSignedJson(text, 'tcbInfo')] });
  if ('enclaveIdentity' in json) return only({ qeIdentities: [splitSignedJson(text, 'enclaveIdentity')] });
  if (!('tcb_info' in json)) return null;
  const whole = Whole.safeParse(json);
  if (whole.success) return fromWhole(whole.data);
  throw new CocosError('EVIDENCE_INVALID', 'a file with tcb_info lacks other members or has wrong ones', {
    cause: whole.error,
  });
}

/** Decodes a percent-encoded PEM of a header. */
function decodePercent(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', '%2B'));
  } catch (cause) {
    throw new CocosError('EVIDENCE_INVALID', 'the percent-encoded text is malformed', { cause });
  }
}

function fromText(text: string): Classified {
  const trimmed = text.trim();
  if (trimmed.startsWith('{')) return fromJson(trimmed);
  if (/-----(?:BEGIN|END)%20/.test(trimmed)) return fromPem(decodePercent(trimmed));
  if (/-----(?:BEGIN|END) /.test(trimmed)) return fromPem(trimmed);
  if (/^(?:[0-9a-fA-F]{2}){64,}$/.test(trimmed)) return fromDer(hexToBytes(trimmed.toLowerCase()));
  return null;
}

/**
 * Determines the collateral in a file.
 *
 * @returns null when it is not collateral.
 * @throws CocosError EVIDENCE_INVALID when it is collateral and malformed, LIMIT_EXCEEDED when it is too large.
 */
export function classifyCollateral(bytes: Uint8Array): Classified {
  if (bytes.length > MAX_COLLATERAL_FILE_BYTES) {
    throw new CocosError(
      'LIMIT_EXCEEDED',
      `the collateral file is larger than ${MAX_COLLATERAL_FILE_BYTES} bytes`,
    );
  }
  if (looksLikeDer(bytes)) return fromDer(bytes);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    // A wrong byte in PEM is damage, not another kind of file; a binary file, such as a quote, may contain PEM.
    if (looksLikePem(bytes) && !bytes.includes(0))
      throw new CocosError('EVIDENCE_INVALID', 'malformed PEM: the text is not UTF-8', { cause });
    return null;
  }
  return fromText(text);
}
