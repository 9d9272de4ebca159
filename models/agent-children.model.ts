import { attestationMachine } from '../src/machines/attestation.machine.ts';
import { inert } from '../src/machines/effect.ts';
import { transferMachine } from '../src/machines/transfer.machine.ts';
import type { Model } from './explore.ts';

const digest = `sha256:${'0'.repeat(64)}`;
const cause = { code: 'TRANSFER_DIGEST_MISMATCH' } as const;

export const transferModel: Model = {
  machine: transferMachine.provide({ actors: { check: inert(), release: inert(), clock: inert() } }),
  input: { transferId: 't', input: 'data', participant: 'p', size: 2, digest, atMs: 1 },
  events: [
    { type: 'transfer.attached' },
    { type: 'transfer.progress', segments: 1, received: 1 },
    { type: 'transfer.broken', atMs: 5 },
    { type: 'transfer.received', received: 2 },
    { type: 'transfer.checked' },
    { type: 'transfer.refused', cause },
    { type: 'transfer.abort' },
    { type: 'deadline.reached' },
  ],
  distinguish: ({ segments, deadlineMs }) => [segments, deadlineMs],
  invariant: (state, context) => {
    if ((context['deadlineMs'] !== null) !== ['opening', 'suspended'].includes(state)) {
      return 'a deadline outside of a waiting state';
    }
    if ((context['cause'] !== null) !== (state === 'aborted')) return 'a cause outside of the state aborted';
    return null;
  },
};

export const attestationModel: Model = {
  machine: attestationMachine.provide({ actors: { collect: inert(), clock: inert() } }),
  input: { sessionId: 's', nonce: '0'.repeat(64), atMs: 1 },
  events: [
    { type: 'attestation.collect' },
    { type: 'evidence.collected', evidenceDigest: digest, atMs: 2 },
    { type: 'evidence.failed', cause: { code: 'EVIDENCE_UNAVAILABLE' } },
    { type: 'session.opened', participant: 'p', role: 'dataset', atMs: 3 },
    { type: 'session.used', atMs: 4 },
    { type: 'session.closed' },
    { type: 'deadline.reached' },
  ],
  invariant: (state, context) => {
    if (['evidenced', 'inSession'].includes(state) && context['evidenceDigest'] === null)
      return 'no evidence';
    if (state === 'inSession' && context['participant'] === null) return 'a session without a participant';
    if ((context['cause'] !== null) !== (state === 'failed')) return 'a cause without a failure';
    return null;
  },
};
