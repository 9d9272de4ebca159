import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ChannelCredentials, ServerCredentials } from '@grpc/grpc-js';
import { CocosError } from '../errors.ts';

/**
 * The address of a service:
 * `unix:/path`, `tcp:127.0.0.1:7001` (loopback only), or `tls:host:port` with certificates of both sides.
 */
export type Address =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'tls'; readonly host: string; readonly port: number };

/** Files of mutual TLS, PEM. */
export interface TlsFiles {
  readonly certificate: string | undefined;
  readonly key: string | undefined;
  readonly authority: string | undefined;
}

const LOOPBACK = new Set(['127.0.0.1', 'localhost', '[::1]']);

/** @throws CocosError CONFIG_INVALID for any other format, or for plain TCP beyond the loopback addresses */
export function parseAddress(text: string): Address {
  if (text.startsWith('unix:/')) return { kind: 'unix', path: text.slice('unix:'.length) };
  const match = /^(tcp|tls):(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):(\d{1,5})$/.exec(text);
  const [, kind, host, port] = match ?? [];
  if ((kind !== 'tcp' && kind !== 'tls') || host === undefined || Number(port) > 65_535) {
    throw new CocosError(
      'CONFIG_INVALID',
      `Invalid address '${text}': expected unix:/path, tcp:host:port or tls:host:port.`,
    );
  }
  if (kind === 'tcp' && !LOOPBACK.has(host)) {
    throw new CocosError(
      'CONFIG_INVALID',
      `The address '${text}' would use plain TCP beyond this machine; use tls: instead.`,
    );
  }
  return { kind, host, port: Number(port) };
}

/** The host of an address as sockets take it: an IPv6 address without its brackets. */
export function unbracketed(host: string): string {
  return host.replace(/^\[|\]$/g, '');
}

/** The address in the format of grpc-js. */
export function grpcTarget(address: Address): string {
  return address.kind === 'unix' ? `unix:${address.path}` : `${address.host}:${address.port}`;
}

export function clientCredentials(address: Address, files: TlsFiles): ChannelCredentials {
  if (address.kind !== 'tls') return ChannelCredentials.createInsecure();
  const { authority, key, certificate } = readTls(files);
  return ChannelCredentials.createSsl(authority, key, certificate);
}

export function serverCredentials(address: Address, files: TlsFiles): ServerCredentials {
  if (address.kind !== 'tls') return ServerCredentials.createInsecure();
  const { authority, key, certificate } = readTls(files);
  return ServerCredentials.createSsl(authority, [{ private_key: key, cert_chain: certificate }], true);
}

function readTls(files: TlsFiles): { authority: Buffer; key: Buffer; certificate: Buffer } {
  const read = (what: string, file: string | undefined): Buffer => {
    if (file === undefined) throw new CocosError('CONFIG_INVALID', `tls: needs a ${what} file.`);
    try {
      return readFileSync(file);
    } catch (cause) {
      throw new CocosError('CONFIG_INVALID', `The TLS ${what} file '${file}' cannot be read.`, { cause });
    }
  };
  return {
    authority: read('certificate authority', files.authority),
    key: read('key', files.key),
    certificate: read('certificate', files.certificate),
  };
}

/** Default folder of the manager's sockets, for the manager and its clients. */
export function defaultRunDir(environment: NodeJS.ProcessEnv): string {
  const uid = process.getuid?.() ?? 0;
  if (uid === 0) return '/run/cocosai';
  const runtime = environment['XDG_RUNTIME_DIR'];
  return runtime === undefined ? path.join(tmpdir(), `cocosai-${uid}`) : path.join(runtime, 'cocosai');
}
