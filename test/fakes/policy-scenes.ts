import { generateKeyPairSync } from 'node:crypto';
import { appraise } from '../../src/attestation/appraisal/appraise.ts';
import type { CheckName } from '../../src/attestation/appraisal/checks.ts';
import { verifyDice, verifySnp, verifyTdx, verifyTpm } from '../../src/attestation/appraisal/standalone.ts';
import { NO_COLLATERAL } from '../../src/attestation/collateral/collateral.ts';
import { developmentRootDigest } from '../../src/attestation/emulated/root.ts';
import { encodeEvidence } from '../../src/attestation/evidence/evidence.ts';
import { parsePolicy } from '../../src/attestation/policy/policy.ts';
import { SHIPPED_MINIMUM } from '../../src/attestation/snp/minimum-tcb.ts';
import { attestationCrypto as crypto } from '../../src/crypto/attestation-crypto.ts';
import { NONCE, NOW, scene, testRoot } from './emulated-host.ts';
import { createBoot } from './enclave-boot.ts';
import {
  AT as AMD_AT,
  type Amd,
  arkList,
  createAmd,
  createReport,
  type EvidenceOptions,
  vcekExtensions,
  vlekExtensions,
} from './fake-amd.ts';
import { cborLayer, AT as DICE_AT, type Layer, newKey, rawKey } from './fake-dice.ts';
import {
  type CollateralOptions,
  createCollateral,
  createIntel,
  createQuote,
  AT as INTEL_AT,
  type QuoteOptions,
} from './fake-intel.ts';
import {
  type AttestOptions,
  attest,
  ecdsaSignature,
  eventLog,
  extendAll,
  type LogEvent,
  publicArea,
} from './fake-tpm.ts';

/**
 * Evidence of each kind that a policy accepts which names nothing but the root of its fake vendor, so that a test can change
 * one property of the evidence and one member of the policy. Each scene answers with the checks that reject.
 */

/** A policy's members, by their path: `snp.vmpl`. */
export type Members = Readonly<Record<string, unknown>>;

/** Failures of evidence under a policy of these members; the scene adds what it cannot do without. */
export type Scene = (members: Members) => Promise<readonly CheckName[]> | readonly CheckName[];

/** Policy JSON from members by path. */
function policyOf(members: Members) {
  const policy: Record<string, unknown> = { version: 1 };
  for (const [path, value] of Object.entries(members)) {
    const parts = path.split('.');
    const last = parts.pop() ?? '';
    let inner = policy;
    for (const part of parts) {
      const next: unknown = inner[part];
      const object: Record<string, unknown> = typeof next === 'object' && next !== null ? { ...next } : {};
      inner[part] = object;
      inner = object;
    }
    inner[last] = value;
  }
  return parsePolicy(policy);
}

let amd: Promise<Amd> | undefined;
const LEVEL = SHIPPED_MINIMUM.milan.levels.snp;
const integer = (value: number): Uint8Array => Uint8Array.of(2, 1, value);

export interface SnpChange extends EvidenceOptions {
  /** Level of the SNP firmware in certificate and report (default: the shipped minimum). */
  readonly snpLevel?: number;
  readonly lists?: false;
  /** Accepts the fake root; `false` leaves that to the members. */
  readonly trusted?: false;
}

/** An SNP report of Milan hardware. */
export const snp =
  (change: SnpChange = {}): Scene =>
  async (members) => {
    amd ??= createAmd('Milan');
    const milan = await amd;
    const snpLevel = change.snpLevel ?? LEVEL;
    const own = change.kind === 'VLEK' ? vlekExtensions('Milan') : vcekExtensions('Milan');
    const { snpSPL } = own;
    const evidence = createReport(milan, {
      ...change,
      extensions: snpSPL === undefined ? own : { ...own, snpSPL: { ...snpSPL, value: integer(snpLevel) } },
      beforeSigning: (report) => {
        for (const tcb of [0x038, 0x180, 0x1e0, 0x1f0]) report.writeUInt8(snpLevel, tcb + 6);
        change.beforeSigning?.(report);
      },
    });
    const trust = change.trusted === false ? {} : { 'snp.trustedRoots': milan.trustedRoots };
    const policy = policyOf({ platforms: ['snp'], ...trust, ...fill(members, '$milan', milan.trustedRoots) });
    const revocationLists = change.lists === false ? [] : [arkList(milan, [])];
    return verifySnp({
      ...evidence,
      policy,
      collateral: { ...NO_COLLATERAL, revocationLists },
      at: AMD_AT,
      crypto,
    }).failures;
  };

/** Replaces a placeholder by a value that only the scene knows. */
function fill(members: Members, name: string, value: unknown): Members {
  return Object.fromEntries(
    Object.entries(members).map(([path, found]) => [path, found === name ? value : found]),
  );
}

const intel = createIntel();

export interface TdxChange {
  readonly quote?: QuoteOptions;
  readonly collateral?: CollateralOptions;
  readonly lists?: false;
  readonly trusted?: false;
  readonly eventLog?: Uint8Array;
}

/** A TDX quote. */
export const tdx =
  (change: TdxChange = {}): Scene =>
  (members) => {
    const trust = change.trusted === false ? {} : { 'tdx.trustedRoots': [intel.rootDigest] };
    const collateral = createCollateral(intel, change.collateral);
    return verifyTdx({
      quote: createQuote(intel, change.quote),
      eventLog: change.eventLog,
      policy: policyOf({ platforms: ['tdx'], ...trust, ...fill(members, '$intel', [intel.rootDigest]) }),
      collateral: change.lists === false ? { ...collateral, revocationLists: [] } : collateral,
      at: INTEL_AT,
      crypto,
    }).failures;
  };

const { privateKey: ak } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
export const EVENTS: readonly LogEvent[] = [{ register: 4, type: 4, data: new Uint8Array(4) }];

export interface TpmChange {
  readonly attest?: AttestOptions;
  readonly events?: readonly LogEvent[];
  /** PCRs beside those of the events. */
  readonly extra?: ReadonlyMap<number, Uint8Array>;
  readonly log?: false;
}

/** A TPM quote of the bank SHA-256 with its log. */
export const tpm =
  (change: TpmChange = {}): Scene =>
  (members) => {
    const events = change.events ?? EVENTS;
    const pcrs = new Map([['sha256' as const, new Map([...extendAll(events), ...(change.extra ?? [])])]]);
    const statement = attest(pcrs, { extraData: NONCE, ...change.attest });
    return verifyTpm({
      attest: statement,
      signature: ecdsaSignature(statement, ak),
      key: publicArea(ak),
      qualifyingData: NONCE,
      pcrs,
      eventLog: change.log === false ? undefined : eventLog(events),
      policy: policyOf({ platforms: ['snp'], ...members }),
      at: 0,
      crypto,
    }).failures;
  };

const [diceRoot, first, second] = [newKey(), newKey(), newKey()];

/** A DICE chain of two layers. */
export const dice =
  (layer: Partial<Layer> = {}, trusted = true): Scene =>
  (members) => {
    const rootKeys = [Buffer.from(rawKey(diceRoot)).toString('hex')];
    return verifyDice({
      format: 'cbor',
      chain: [
        cborLayer({ issuerKey: diceRoot, subjectKey: first }),
        cborLayer({ issuerKey: first, subjectKey: second, ...layer }),
      ],
      rootKey: rawKey(diceRoot),
      policy: policyOf({
        platforms: ['snp'],
        ...(trusted ? { 'dice.rootKeys': rootKeys } : {}),
        ...fill(members, '$root', rootKeys),
      }),
      at: DICE_AT,
      crypto,
    }).failures;
  };

const boot = createBoot(1);

/** A bundle of the emulated platform, with a quote of a vTPM or without; a minute old. */
export const bundle =
  ({ vtpm = false, trusted = true }: { readonly vtpm?: boolean; readonly trusted?: boolean } = {}): Scene =>
  async (members) => {
    const base = await scene(vtpm ? { claims: boot.claims } : {});
    const emulatedRoot = developmentRootDigest(await testRoot());
    const parts = vtpm ? { nonce: NONCE, vtpm: boot.quote(NONCE, base.bundle.claims) } : {};
    return appraise({
      ...base,
      evidence: encodeEvidence({ ...base.bundle, ...parts }),
      nonceIssuedAt: NOW - 61_000,
      policy: policyOf({
        ...(trusted ? { platforms: ['emulated'], emulatedRoot } : { platforms: ['snp'] }),
        ...fill(members, '$emulated', emulatedRoot),
      }),
    }).failures;
  };
