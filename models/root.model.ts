import { agentMachine } from '../src/machines/agent.machine.ts';
import { inert } from '../src/machines/effect.ts';
import { managerMachine } from '../src/machines/manager.machine.ts';
import { childError, type Model } from './explore.ts';
import { enclaveModel } from './host.model.ts';

const cause = { code: 'INTERNAL', message: 'broken' } as const;

/** The roots spawn real children, so their models replace the actions that spawn. */
export const agentModel: Model = {
  machine: agentMachine.provide({
    actors: { measure: inert(), listen: inert(), link: inert(), shutDown: inert() },
    actions: {
      spawnComputation: () => undefined,
      spawnAttestation: () => undefined,
      spawnTransfer: () => undefined,
    },
  }),
  events: [
    { type: 'agent.measured' },
    { type: 'agent.listening' },
    { type: 'link.live' },
    { type: 'link.lost' },
    { type: 'agent.failed', cause: { code: 'INTERNAL' } },
    { type: 'attestation.requested', address: 'attestation/a', input: {} },
    { type: 'transfer.requested', address: 'transfer/t', input: {} },
    { type: 'child.retire', address: 'transfer/t' },
    { type: 'child.failed', address: 'transfer/t' },
    { type: 'child.failed', address: 'computation' },
    { type: 'agent.shutDown' },
    childError('transfer/t'),
  ],
  invariant: (state, context) =>
    context['cause'] !== null && state !== 'shuttingDown' ? 'a cause in a running process' : null,
};

export const managerModel: Model = {
  machine: managerMachine.provide({
    actors: { open: inert(), empty: inert(), close: inert(), recover: inert() },
    actions: { spawnEnclave: () => undefined, restoreChild: () => undefined, supervise: () => undefined },
  }),
  events: [
    { type: 'manager.opened' },
    { type: 'manager.broken', cause },
    { type: 'enclave.requested', address: 'enclave/abcd', input: {} },
    { type: 'enclave.removed', address: 'enclave/abcd' },
    { type: 'child.failed', address: 'enclave/abcd', reason: 'thrown', atMs: 1, chance: 0 },
    { type: 'child.restored', address: 'enclave/abcd', input: enclaveModel.input },
    { type: 'child.settled', address: 'enclave/abcd' },
    { type: 'manager.stop' },
    { type: 'manager.emptied' },
    { type: 'manager.closed' },
    childError('enclave/abcd'),
  ],
  invariant: (state, context) =>
    context['cause'] !== null && !state.startsWith('stopped') ? 'a cause in a running process' : null,
};
