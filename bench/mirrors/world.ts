import { encodeFrame } from '../../src/link/wire/frame.ts';
import type { ComputationEvent } from '../../src/machines/computation.events.ts';
import type { Manifest } from '../../src/machines/manifest.ts';
import type { MirrorRecord } from '../../src/machines/mirrored.ts';

/** What the agents of simulated enclaves send: the records of a life up to an upload, and then a steady stream. */

const digest = `sha256:${'0'.repeat(64)}`;
const key = (letter: string) => `ed25519:${letter.repeat(43)}`;

const MANIFEST: Manifest = {
  version: 1,
  id: 'bench',
  name: 'bench',
  algorithm: { kind: 'python', digest, provider: key('A'), arguments: [] },
  datasets: [{ name: 'data', digest, provider: key('B') }],
  consumers: [{ signing: key('C'), kem: `x-wing:${'K'.repeat(1622)}` }],
  limits: { seconds: 3600, memoryMiB: 256, diskMiB: 256, processes: 64 },
  start: 'auto',
  stop: [],
};

export const ATTESTATION_INPUT = { sessionId: 's', nonce: '0'.repeat(64), atMs: 1 };
export const TRANSFER_INPUT = {
  transferId: 't',
  input: 'data',
  participant: key('B'),
  size: 2 ** 40,
  digest,
  atMs: 1,
};

type Mirrored = 'computation' | 'attestation/a' | 'transfer/t';
interface Sent {
  readonly address: Mirrored;
  readonly event: { readonly type: string } & Readonly<Record<string, unknown>>;
}

const manifestAccepted: ComputationEvent = {
  type: 'manifest.accepted',
  manifest: MANIFEST,
  digest,
  atMs: 1,
};

/** Events that bring the three machines of an agent to where the stream begins. */
export const OPENING: readonly Sent[] = [
  { address: 'computation', event: manifestAccepted },
  { address: 'attestation/a', event: { type: 'attestation.collect' } },
  { address: 'attestation/a', event: { type: 'evidence.collected', evidenceDigest: digest, atMs: 2 } },
  {
    address: 'attestation/a',
    event: { type: 'session.opened', participant: key('B'), role: 'dataset', atMs: 3 },
  },
  { address: 'transfer/t', event: { type: 'transfer.attached' } },
];

/** The event at a position of the stream; every one of them moves its machine. */
export function streamed(position: number): Sent {
  switch (position % 4) {
    case 0:
      return { address: 'computation', event: { type: 'input.receiving', input: 'data', transferId: 't' } };
    case 1:
      return {
        address: 'transfer/t',
        event: { type: 'transfer.progress', segments: position, received: position * 65_536 },
      };
    case 2:
      return { address: 'attestation/a', event: { type: 'session.used', atMs: 1_000 + position } };
    default:
      return { address: 'computation', event: { type: 'input.released', input: 'data' } };
  }
}

const starts: readonly MirrorRecord[] = [
  { kind: 'started', address: 'computation', input: null },
  { kind: 'started', address: 'attestation/a', input: ATTESTATION_INPUT },
  { kind: 'started', address: 'transfer/t', input: TRANSFER_INPUT },
];

/** Journal records until the stream begins. */
export const OPENING_RECORDS: readonly MirrorRecord[] = [
  ...starts,
  ...OPENING.map((sent): MirrorRecord => ({ kind: 'event', ...sent })),
];

/** The frames of the stream at positions `from` to `to` as every agent sends them, each in a chunk of its own. */
export function streamFrames(from: number, to: number): Buffer[] {
  const frames: Buffer[] = [];
  for (let position = from; position < to; position++) {
    const body: MirrorRecord = { kind: 'event', ...streamed(position) };
    frames.push(encodeFrame({ kind: 'event', seq: OPENING_RECORDS.length + position + 1, ack: 0, body }));
  }
  return frames;
}

export function openingFrames(): Buffer[] {
  return OPENING_RECORDS.map((body, index) => encodeFrame({ kind: 'event', seq: index + 1, ack: 0, body }));
}
