import type { Collateral } from '../../attestation/collateral/collateral.ts';
import {
  classifyCollateral,
  MAX_COLLATERAL_FILE_BYTES,
  mergeCollateral,
} from '../../attestation/collateral/collateral-files.ts';
import { CocosError } from '../../errors.ts';

/** Fetches collateral from a service that the user names. Nothing secret is sent, and nothing is trusted for it. */

/** Headers in which services hand over the chain of the key that signed the answer, as percent-encoded PEM. */
const CHAIN_HEADERS = [
  'tcb-info-issuer-chain',
  'sgx-tcb-info-issuer-chain',
  'sgx-enclave-identity-issuer-chain',
  'sgx-pck-crl-issuer-chain',
  'sgx-pck-certificate-issuer-chain',
];

function addressOf(base: string, path: string): URL {
  let root: URL;
  let url: URL;
  try {
    root = new URL(base.endsWith('/') ? base : `${base}/`);
    url = new URL(path.replace(/^\/+/, ''), root);
  } catch (cause) {
    throw new CocosError('USAGE', `${base} and ${path} are no address.`, { cause });
  }
  const web = root.protocol === 'https:' || root.protocol === 'http:';
  if (!web || root.username !== '' || root.password !== '') {
    throw new CocosError('USAGE', 'A base URL is http or https and holds no credentials.');
  }
  if (url.origin !== root.origin) throw new CocosError('USAGE', `${path} leads away from ${base}.`);
  return url;
}

async function readBounded(response: Response): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  if (response.body !== null) {
    for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
      size += chunk.length;
      if (size > MAX_COLLATERAL_FILE_BYTES)
        throw new CocosError('LIMIT_EXCEEDED', 'The answer is too large.');
      chunks.push(chunk);
    }
  }
  return new Uint8Array(Buffer.concat(chunks));
}

/**
 * Fetches one answer with the chain in its headers.
 *
 * @param timeoutMs for the whole answer.
 * @throws CocosError USAGE, COLLATERAL_UNAVAILABLE
 */
export async function fetchCollateral(base: string, path: string, timeoutMs: number): Promise<Collateral> {
  const url = addressOf(base, path);
  try {
    const response = await fetch(url, { redirect: 'error', signal: AbortSignal.timeout(timeoutMs) });
    if (!response.ok)
      throw new CocosError('COLLATERAL_UNAVAILABLE', `${url.pathname} gave ${response.status}.`);
    const texts = CHAIN_HEADERS.map((name) => response.headers.get(name)).filter((text) => text !== null);
    const parts = [await readBounded(response), ...texts.map((text) => new TextEncoder().encode(text))];
    const found = parts.map(classifyCollateral).filter((part) => part !== null);
    if (found.length === 0)
      throw new CocosError('COLLATERAL_UNAVAILABLE', `${url.pathname} gave no collateral.`);
    return mergeCollateral(found);
  } catch (thrown) {
    if (thrown instanceof CocosError && thrown.code === 'COLLATERAL_UNAVAILABLE') throw thrown;
    throw new CocosError('COLLATERAL_UNAVAILABLE', `${url.pathname} could not be fetched.`, {
      cause: thrown,
    });
  }
}
