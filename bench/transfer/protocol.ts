import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { MethodDefinition } from '@grpc/grpc-js';

/** What the processes of the transfer benchmarks tell each other. */

/** Bytes of a message of the plain streams, and of a segment of the sealed ones. */
export const CHUNK = 512 * 1024;
export const CHANNEL_OPTIONS = {
  'grpc.max_receive_message_length': 4 * 1024 * 1024,
  'grpc.max_send_message_length': 4 * 1024 * 1024,
};

export interface SealedTask {
  readonly relay: string;
  readonly manifest: string;
  readonly key: string;
  readonly policy: string;
  readonly reference: string;
  readonly file: string;
  readonly grpcOnly: boolean;
}

export type Task =
  /** `input` is the name of the dataset. */
  | ({ readonly kind: 'sealed upload'; readonly input: string } & SealedTask)
  | ({ readonly kind: 'sealed result' } & SealedTask)
  | { readonly kind: 'crypto alone'; readonly file: string }
  | { readonly kind: 'plain upload'; readonly target: string; readonly tls: boolean; readonly file: string }
  | {
      readonly kind: 'plain download';
      readonly target: string;
      readonly file: string;
      readonly bytes: number;
    };

export interface Taken {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly peakMiB: number;
}

const asIs = (bytes: Buffer): Buffer => bytes;
const method = (name: string, requestStream: boolean): MethodDefinition<Buffer, Buffer> => ({
  path: `/bench.Sink/${name}`,
  requestStream,
  responseStream: !requestStream,
  requestSerialize: asIs,
  requestDeserialize: asIs,
  responseSerialize: asIs,
  responseDeserialize: asIs,
});

/** The plainest service: bytes in, bytes out, no protobuf. */
export const SINK = { upload: method('Upload', true), download: method('Download', false) };

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** A certificate for this machine's loopback, made once. */
export function tlsFiles(): { readonly certificate: Buffer; readonly key: Buffer } {
  const folder = path.join(ROOT, 'build', 'bench-tls');
  const certificate = path.join(folder, 'certificate.pem');
  const key = path.join(folder, 'key.pem');
  if (!existsSync(certificate)) {
    mkdirSync(folder, { recursive: true });
    const made = spawnSync('openssl', [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '3650'],
      ...['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'],
      ...['-keyout', key, '-out', certificate],
    ]);
    if (made.status !== 0) throw new Error(`openssl made no certificate: ${made.stderr}`);
  }
  return { certificate: readFileSync(certificate), key: readFileSync(key) };
}
