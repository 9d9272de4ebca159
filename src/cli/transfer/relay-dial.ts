import { readFileSync } from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';
import { CocosError } from '../../errors.ts';
import { unbracketed } from '../../rpc/address.ts';
import { connectRequest, KEEP_ALIVE_MS, requestConnect } from '../../rpc/http-connect.ts';
import { proxyFor } from './proxy.ts';
import type { RelayAddress } from './relay-address.ts';

type GatewayAddress = Extract<RelayAddress, { readonly kind: 'gateway' }>;

const CONNECT_LIMIT_MS = 20_000;
/** The gateway takes any; a target of CONNECT has one. */
const TARGET_PORT = 7002;

/**
 * A new connection to an agent. Names are resolved anew for each one.
 *
 * @throws CocosError AGENT_UNAVAILABLE with the reason when the agent cannot be reached
 */
export async function dialRelay(relay: RelayAddress, environment: NodeJS.ProcessEnv): Promise<net.Socket> {
  if (relay.kind === 'unix') return net.connect({ path: relay.path });
  if (relay.kind === 'tcp') return net.connect({ host: relay.host, port: relay.port, noDelay: true });
  const { host, port } = relay;
  const where = `${host}:${port}`;
  const proxy = proxyFor(host, environment);
  let socket = await connected(proxy ?? { host: unbracketed(host), port });
  if (proxy !== null) {
    const headers = proxy.authorization === null ? {} : { 'Proxy-Authorization': proxy.authorization };
    await requested(
      socket,
      where,
      headers,
      (status) => `The proxy ${proxy.host}:${proxy.port} does not connect to ${where} (${status}).`,
    );
  }
  if (relay.tls) socket = await secured(socket, relay, environment);
  await requested(socket, `${relay.enclave}:${TARGET_PORT}`, {}, (status) =>
    status === 404
      ? `The gateway ${where} has no enclave ${relay.enclave} that runs.`
      : `The gateway ${where} refused the connection (${status}).`,
  );
  return socket;
}

async function requested(
  socket: net.Socket,
  authority: string,
  headers: Readonly<Record<string, string>>,
  refusal: (status: number) => string,
): Promise<void> {
  try {
    const status = await requestConnect(socket, connectRequest(authority, headers), CONNECT_LIMIT_MS);
    if (status < 200 || status >= 300) throw new CocosError('AGENT_UNAVAILABLE', refusal(status));
  } catch (thrown) {
    socket.destroy();
    throw thrown;
  }
}

function connected(at: { readonly host: string; readonly port: number }): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ ...at, noDelay: true });
    const fail = (cause: Error) => {
      clearTimeout(timer);
      socket.destroy();
      const message = `Nothing answers at ${at.host}:${at.port}: ${reasonOf(cause)}.`;
      reject(new CocosError('AGENT_UNAVAILABLE', message, { cause }));
    };
    const timer = setTimeout(() => fail(new Error('it timed out')), CONNECT_LIMIT_MS);
    socket.once('error', fail);
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.off('error', fail);
      socket.on('error', () => socket.destroy());
      socket.setKeepAlive(true, KEEP_ALIVE_MS);
      resolve(socket);
    });
  });
}

/** The gateway's certificate is checked as usual; COCOSAI_GATEWAY_CA names another authority than the system's. */
function secured(
  socket: net.Socket,
  { host, port }: GatewayAddress,
  environment: NodeJS.ProcessEnv,
): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const name = unbracketed(host);
    const file = environment['COCOSAI_GATEWAY_CA'];
    const ca = file === undefined ? {} : { ca: readAuthority(file) };
    const over = tls.connect({
      socket,
      ...(net.isIP(name) === 0 ? { servername: name } : { host: name }),
      ...ca,
      minVersion: 'TLSv1.3',
    });
    const fail = (cause: Error) => {
      clearTimeout(timer);
      over.destroy();
      const message = `The gateway ${host}:${port} does not prove its name by TLS: ${reasonOf(cause)}. COCOSAI_GATEWAY_CA names the authority of its certificate.`;
      reject(new CocosError('AGENT_UNAVAILABLE', message, { cause }));
    };
    const timer = setTimeout(() => fail(new Error('it timed out')), CONNECT_LIMIT_MS);
    over.once('error', fail);
    over.once('secureConnect', () => {
      clearTimeout(timer);
      over.on('error', () => over.destroy());
      resolve(over);
    });
  });
}

function readAuthority(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    throw new CocosError('CONFIG_INVALID', `COCOSAI_GATEWAY_CA: the file '${file}' cannot be read.`, {
      cause,
    });
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOTFOUND: 'the name is not known',
  EAI_AGAIN: 'the name cannot be resolved now',
  ECONNREFUSED: 'the connection was refused',
  EHOSTUNREACH: 'there is no route',
  ENETUNREACH: 'there is no route',
  ETIMEDOUT: 'it timed out',
  ECONNRESET: 'the connection was closed',
};

function reasonOf(cause: Error): string {
  const code = 'code' in cause ? String(cause.code) : '';
  return REASONS[code] ?? (code === '' ? cause.message : code);
}
