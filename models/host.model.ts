import { inert } from '../src/machines/effect.ts';
import { enclaveMachine } from '../src/machines/enclave.machine.ts';
import { linkMachine } from '../src/machines/link.machine.ts';
import { verifierMachine } from '../src/machines/verifier.machine.ts';
import type { Model } from './explore.ts';

const cause = { code: 'HOST_DISK_FULL', message: 'full' } as const;

export const enclaveModel: Model = {
  machine: enclaveMachine.provide({
    actors: {
      ...{ prepare: inert(), launch: inert(), link: inert(), handshake: inert() },
      ...{ shutDown: inert(), clean: inert(), clock: inert() },
    },
  }),
  input: {
    ...{ id: 'abcd', name: 'model', mode: 'vm', vcpus: 1, memoryMiB: 256, imageDir: null },
    ...{ manifest: null, manifestDigest: null, atMs: 1 },
  },
  events: [
    { type: 'enclave.prepare', atMs: 1 },
    { type: 'enclave.prepared', relayAddress: 'unix:/r', logFile: '/l', atMs: 2 },
    { type: 'vm.started', pid: 7, accelerator: 'tcg', measurement: 'm', atMs: 3 },
    { type: 'vm.exited', code: null, signal: 'SIGKILL' },
    { type: 'vm.panicked', line: 'Kernel panic' },
    { type: 'boot.progressed', step: 'modules' },
    { type: 'boot.failed', step: 'root-verity', reason: 'dm-verity' },
    { type: 'link.live', bootId: 'one' },
    { type: 'link.live', bootId: 'two' },
    { type: 'link.lost', atMs: 4 },
    { type: 'agent.ready', version: '1' },
    { type: 'computation.assigned', computationId: 'c1', atMs: 5 },
    { type: 'computation.released', atMs: 6 },
    { type: 'enclave.broken', cause },
    { type: 'enclave.stop', atMs: 5 },
    { type: 'enclave.cleaned' },
    { type: 'deadline.reached' },
  ],
  distinguish: ({ pid, bootId, cause: why }) => [pid, bootId, why !== null],
  invariant: (state, context) => {
    if ((context['cause'] !== null) !== state.startsWith('failed')) return 'a cause outside of a failure';
    if (/^alive\.(booting|connected|ready|unreachable)$/.test(state) && context['pid'] === null)
      return 'no process';
    if (/settled$/.test(state) && context['pid'] !== null) return 'a process after the end';
    return null;
  },
};

export const linkModel: Model = {
  machine: linkMachine.provide({ actors: { open: inert(), serve: inert(), replay: inert(), wait: inert() } }),
  input: { role: 'agent' },
  events: [
    { type: 'stream.opened', atMs: 1 },
    { type: 'stream.failed', atMs: 1 },
    { type: 'stream.closed', reason: 'r', atMs: 1 },
    { type: 'hello.received', bootId: 'b', atMs: 1 },
    { type: 'replay.finished', atMs: 1 },
    { type: 'peer.silent' },
    { type: 'peer.violated', reason: 'v' },
    { type: 'backoff.ended' },
    { type: 'link.close' },
  ],
  distinguish: ({ lostReason, peerBootId }) => [lostReason, peerBootId],
  invariant: (state, { peerBootId, lostReason, attempts }) => {
    if (state === 'attached.live' && peerBootId === null) return 'live without a peer';
    if (state === 'attached.live' && (lostReason !== null || attempts !== 0))
      return 'a live link with a stale loss';
    return null;
  },
};

export const verifierModel: Model = {
  machine: verifierMachine.provide({ actors: { challenge: inert(), appraise: inert(), clock: inert() } }),
  input: { lifetimeMs: 1_000 },
  events: [
    { type: 'verifier.challenge' },
    { type: 'evidence.received', evidenceDigest: 'd' },
    { type: 'evidence.missing', cause: { code: 'AGENT_UNAVAILABLE', message: 'gone' } },
    { type: 'verdict.reached', accepted: true, failures: [], atMs: 1 },
    { type: 'verdict.reached', accepted: false, failures: ['f'], atMs: 1 },
    { type: 'deadline.reached' },
  ],
  distinguish: ({ cause: why, failures }) => [why, failures],
  invariant: (state, { evidenceDigest, failures, cause: why, deadlineMs }) => {
    const failed = (failures as string[]).length > 0;
    if (state === 'trusted' && (evidenceDigest === null || failed))
      return 'trusted without an accepted verdict';
    if (state === 'rejected' && !failed && why === null) return 'rejected without a reason';
    if (why !== null && !['rejected', 'unanswered'].includes(state)) return 'a cause outside of a failure';
    if (failed && state !== 'rejected') return 'failures of an older verdict';
    if (deadlineMs !== null && ['idle', 'challenging', 'appraising'].includes(state))
      return 'an old deadline';
    return null;
  },
};
