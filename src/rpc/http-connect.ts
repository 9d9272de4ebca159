import type { Duplex } from 'node:stream';
import { CocosError } from '../errors.ts';

/**
 * The head of HTTP CONNECT (RFC 9110, 9.3.6), read from a stream that carries other bytes afterwards. A gateway takes
 * one from a participant, and a participant one from a gateway or from a proxy.
 */

/** Of the TCP connections that carry a tunnel: below the idle limits of usual NAT tables. */
export const KEEP_ALIVE_MS = 30_000;
/** Of a head; proxies send a page with a refusal, which is not read. */
const HEAD_BYTES = 8_192;
const END = Buffer.from('\r\n\r\n');

/**
 * Reads up to the empty line; what follows it stays in the stream.
 *
 * @returns the head as text, or null when the stream ends before or the head is too long
 */
export function readHead(stream: Duplex, timeoutMs: number): Promise<string | null> {
  return new Promise((resolve) => {
    let read = Buffer.alloc(0);
    const settle = (head: string | null) => {
      clearTimeout(timer);
      stream.off('readable', take).off('end', lost).off('close', lost).off('error', lost);
      resolve(head);
    };
    const lost = () => settle(null);
    const take = () => {
      for (let chunk = stream.read(); chunk !== null; chunk = stream.read()) {
        if (!(chunk instanceof Uint8Array)) return lost();
        read = Buffer.concat([read, chunk]);
        const end = read.indexOf(END);
        if (end !== -1 && end <= HEAD_BYTES) {
          const rest = read.subarray(end + END.length);
          if (rest.length > 0) stream.unshift(rest);
          return settle(read.toString('latin1', 0, end));
        }
        if (read.length > HEAD_BYTES) return lost();
      }
    };
    const timer = setTimeout(lost, timeoutMs);
    stream.on('readable', take).once('end', lost).once('close', lost).once('error', lost);
  });
}

/** Host of the target of a CONNECT request; null for any other request. */
export function connectTarget(head: string): string | null {
  const [line = ''] = head.split('\r\n');
  const [, target] = /^CONNECT ([A-Za-z0-9.-]{1,253}):[0-9]{1,5} HTTP\/1\.[01]$/.exec(line) ?? [];
  return target ?? null;
}

export function connectRequest(authority: string, headers: Readonly<Record<string, string>> = {}): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${lines.join('')}\r\n`;
}

/**
 * Asks the other end of a stream to connect it to a host.
 *
 * @returns the status of the answer: below 300 the stream carries that host's bytes from now on
 * @throws CocosError AGENT_UNAVAILABLE when there is no answer
 */
export async function requestConnect(stream: Duplex, request: string, timeoutMs: number): Promise<number> {
  stream.write(request);
  const head = await readHead(stream, timeoutMs);
  const [, status] = /^HTTP\/1\.[01] ([1-5][0-9]{2})( |\r|$)/.exec(head ?? '') ?? [];
  if (status === undefined) {
    throw new CocosError(
      'AGENT_UNAVAILABLE',
      'The other end does not speak HTTP CONNECT, or did not answer.',
    );
  }
  return Number(status);
}
