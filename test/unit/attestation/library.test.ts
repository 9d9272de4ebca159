import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createContext, runInContext } from 'node:vm';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { bundleLibrary, LIBRARY } from '../../../scripts/library-bundle.ts';
import { attestationCrypto as native } from '../../../src/crypto/attestation-crypto.ts';
import type { AttestationCrypto } from '../../../src/crypto/crypto-port.ts';
import { portableAttestationCrypto as portable } from '../../../src/crypto/portable-attestation-crypto.ts';
import { WAIVERS } from '../../fakes/fake-amd.ts';
import { snpTargets, tdxTargets, tpmTargets } from '../../fakes/sweep.ts';
import { hasVectors, vectorsDir } from '../../vectors.ts';

const read = (...parts: string[]): Uint8Array => new Uint8Array(readFileSync(join(vectorsDir(), ...parts)));

/** Only globals of browsers that are not part of the language; none of Node. */
const BROWSER = { TextEncoder, TextDecoder, Uint8Array, ArrayBuffer, DataView, URL };

const Outcome = z.object({ outcome: z.string(), failures: z.array(z.string()) });

async function realm() {
  const context = createContext({ ...BROWSER });
  for (const name of Object.keys(LIBRARY) as (keyof typeof LIBRARY)[]) {
    runInContext(Buffer.from(await bundleLibrary(name, 'iife')).toString('utf8'), context);
    runInContext(`globalThis[${JSON.stringify(name)}] = library`, context);
  }
  return (script: string, values: object): unknown => {
    Object.assign(context, values);
    return JSON.parse(
      z.string().parse(
        runInContext(
          `const { portableAttestationCrypto: crypto } = globalThis['attestation-portable'];
           const { parsePolicy, NO_COLLATERAL, ...lib } = globalThis.attestation;
           JSON.stringify((() => { ${script} })())`
            .replace(/^/, '{')
            .concat('}'),
          context,
        ),
      ),
    );
  };
}

describe.skipIf(!hasVectors)('the library in a realm without Node APIs', () => {
  it('accepts an SNP report, a TDX quote and a TPM quote, and refuses a changed bit', async () => {
    const run = await realm();
    const snp = (flip: number) =>
      Outcome.parse(
        run(
          `return lib.verifySnp({ report, certificates, collateral: NO_COLLATERAL, at, crypto,
             policy: parsePolicy({ version: 1, platforms: ['snp'], snp: waivers }) });`,
          {
            report: read('snp', 'turin-v5', 'report.bin').map((byte, index) =>
              index === 0x90 ? byte ^ flip : byte,
            ),
            certificates: [
              read('snp', 'turin-v5', 'vcek.der'),
              ...['ask', 'ark'].map((name) => read('amd-roots', `turin_${name}.der`)),
            ],
            at: Date.parse('2026-06-01T00:00:00Z'),
            waivers: WAIVERS,
          },
        ),
      );
    expect(snp(0)).toEqual({ outcome: 'accepted', failures: [] });
    expect(snp(1)).toEqual({ outcome: 'rejected', failures: ['report.signature'] });

    const tdx = run(
      `return lib.verifyTdx({ quote, collateral: lib.classifyCollateral(file), at, crypto,
         policy: parsePolicy({ version: 1, platforms: ['tdx'], tdx: { requireRevocationLists: false } }) });`,
      {
        quote: read('tdx', 'v4-full-collateral', 'quote.bin'),
        file: read('tdx', 'v4-full-collateral', 'collateral.json'),
        at: Date.parse('2025-07-01T00:00:00Z'),
      },
    );
    expect(Outcome.parse(tdx)).toEqual({ outcome: 'accepted', failures: [] });

    const tpm = run(
      `return lib.verifyTpm({ attest, signature, key: lib.pemBlocks(pem)[0].der, qualifyingData, at: 0, crypto,
         pcrs: lib.parsePcrFile(pcrs), policy: parsePolicy({ version: 1, platforms: ['snp'] }) });`,
      {
        attest: read('tpm-quote', 'azure-snp-vtpm', 'attest.bin'),
        signature: read('tpm-quote', 'azure-snp-vtpm', 'signature.bin'),
        pem: readFileSync(join(vectorsDir(), 'tpm-quote', 'azure-snp-vtpm', 'ak.pem'), 'utf8'),
        pcrs: readFileSync(join(vectorsDir(), 'tpm-quote', 'azure-snp-vtpm', 'pcrs-sha256.json'), 'utf8'),
        qualifyingData: new TextEncoder().encode('challenge'),
      },
    );
    expect(Outcome.parse(tpm)).toEqual({ outcome: 'accepted', failures: [] });
  });
});

/** Answers as the native port does and counts how often the portable one agreed. */
function held(agreed: { yes: number; no: number }): AttestationCrypto {
  const both =
    <A extends unknown[]>(one: (...args: A) => boolean, other: (...args: A) => boolean) =>
    (...args: A): boolean => {
      const answer = one(...args);
      expect(other(...args)).toBe(answer);
      agreed[answer ? 'yes' : 'no'] += 1;
      return answer;
    };
  return {
    ...native,
    verifyEcdsa: both(native.verifyEcdsa, portable.verifyEcdsa),
    verifyRsaPss: both(native.verifyRsaPss, portable.verifyRsaPss),
    verifyRsaPkcs1: both(native.verifyRsaPkcs1, portable.verifyRsaPkcs1),
  };
}

describe('the portable cryptography', () => {
  it('computes the same hashes as the native one', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (data) => {
        for (const name of ['sha1', 'sha256', 'sha384', 'sha512'] as const)
          expect(Buffer.from(portable[name](data))).toEqual(Buffer.from(native[name](data)));
      }),
      { numRuns: 50 },
    );
  });

  it.skipIf(!hasVectors)('agrees with the native one on real and on changed signatures', () => {
    const agreed = { yes: 0, no: 0 };
    const targets = [...snpTargets(held(agreed)), ...tdxTargets(held(agreed)), ...tpmTargets(held(agreed))];
    for (const target of targets) {
      expect(target.accepts(target.bytes)).toBe(true);
      const changed = target.bytes.map((byte, index) =>
        index === target.bytes.length >> 1 ? byte ^ 1 : byte,
      );
      expect(target.accepts(changed)).toBe(false);
    }
    expect(agreed.yes).toBeGreaterThan(10);
    expect(agreed.no).toBeGreaterThan(5);
  });
});
