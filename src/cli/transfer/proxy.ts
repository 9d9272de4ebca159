import { CocosError } from '../../errors.ts';
import { unbracketed } from '../../rpc/address.ts';

/** An HTTP proxy that connections to other machines go through. */
export interface Proxy {
  readonly host: string;
  readonly port: number;
  /** Value of `Proxy-Authorization`; null for none. */
  readonly authorization: string | null;
}

const DEFAULT_PORT = 80;

/**
 * The proxy of the environment for a host, as curl and others read it: HTTPS_PROXY, unless NO_PROXY names the host or a
 * domain that it lies in. Names in lower case come first.
 *
 * @throws CocosError CONFIG_INVALID for a proxy that is not an `http:` URL
 */
export function proxyFor(host: string, environment: NodeJS.ProcessEnv): Proxy | null {
  const setting = environment['https_proxy'] ?? environment['HTTPS_PROXY'] ?? '';
  const name = unbracketed(host).toLowerCase();
  if (setting === '' || isExempt(name, environment['no_proxy'] ?? environment['NO_PROXY'] ?? '')) return null;
  const url = tryParse(setting);
  if (url === null || url.protocol !== 'http:' || url.hostname === '') {
    throw new CocosError(
      'CONFIG_INVALID',
      `HTTPS_PROXY: '${setting}' is not a URL such as http://proxy:3128.`,
    );
  }
  const { username, password, hostname, port } = url;
  const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return {
    host: unbracketed(hostname),
    port: port === '' ? DEFAULT_PORT : Number(port),
    authorization: username === '' ? null : `Basic ${Buffer.from(credentials).toString('base64')}`,
  };
}

function tryParse(text: string): URL | null {
  try {
    return new URL(text);
  } catch {
    return null;
  }
}

function isExempt(name: string, list: string): boolean {
  const entries = list.split(/[\s,]+/).filter((entry) => entry !== '');
  return entries.some((entry) => {
    const domain = entry.toLowerCase().replace(/^\*?\./, '');
    return entry === '*' || name === domain || name.endsWith(`.${domain}`);
  });
}
