import type { Collateral } from '../../attestation/collateral/collateral.ts';
import {
  classifyCollateral,
  MAX_COLLATERAL_FILE_BYTES,
  mergeCollateral,
} from '../../attestation/collateral/collateral-files.ts';
import { CocosError } from '../../errors.ts';

/** Fetches collateral from a service that the user names. The request contains no secret, and the answer is untrusted. */

/** Headers with the certificate chain of the key that signed the answer, as percent-encoded PEM. */
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
    throw new CocosError('USAGE', `Invalid URL: base '${base}', path '${path}'.`, { cause });
  }
  const web = root.protocol === 'https:' || root.protocol === 'http:';
  if (!web || root.username !== '' || root.password !== '') {
    throw new CocosError('USAGE', `Invalid base URL '${base}': expected http or https, without credentials.`);
  }
  if (url.origin !== root.origin)
    throw new CocosError('USAGE', `The path '${path}' leads to another origin than ${base}.`);
  return url;
}

async function readBounded(response: Response): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  if (response.body !== null) {
    for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
      size += chunk.length;
      if (size > MAX_COLLATERAL_FILE_BYTES)
        throw new CocosError(
          'LIMIT_EXCEEDED',
          `The answer is larger than ${MAX_COLLATERAL_FILE_BYTES} bytes.`,
        );
      chunks.push(chunk);
    }
  }
  return new Uint8Array(Buffer.concat(chunks));
}

/**
 * Fetches one answer with the chain in its headers.
 *
 * @param timeoutMs time limit for the complete answer
 * @throws CocosError USAGE, COLLATERAL_UNAVAILABLE
 */
export async function fetchCollateral(base: string, path: string, timeoutMs: number): Promise<Collateral> {
  const url = addressOf(base, path);
  try {
    const response = await fetch(url, { redirect: 'error', signal: AbortSignal.timeout(timeoutMs) });
    if (!response.ok)
      throw new CocosError(
        'COLLATERAL_UNAVAILABLE',
        `${url.origin}${url.pathname} answered with HTTP status ${response.status}.`,
      );
    const texts = CHAIN_HEADERS.map((name) => response.headers.get(name)).filter((text) => text !== null);
    const parts = [await readBounded(response), ...texts.map((text) => new TextEncoder().encode(text))];
    const found = parts.map(classifyCollateral).filter((part) => part !== null);
    if (found.length === 0)
      throw new CocosError(
        'COLLATERAL_UNAVAILABLE',
        `The answer of ${url.origin}${url.pathname} contains no known collateral.`,
      );
    return mergeCollateral(found);
  } catch (thrown) {
    if (thrown instanceof CocosError && thrown.code === 'COLLATERAL_UNAVAILABLE') throw thrown;
    throw new CocosError(
      'COLLATERAL_UNAVAILABLE',
      `Cannot fetch ${url.origin}${url.pathname}. Check the URL and the network, or import a saved answer.`,
      {
        cause: thrown,
      },
    );
  }
}
