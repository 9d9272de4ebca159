import { describe, expect, it } from 'vitest';
import { attestationModel, transferModel } from '../../models/agent-children.model.ts';
import { computationModel } from '../../models/computation.model.ts';
import { explore, type Model } from '../../models/explore.ts';
import { enclaveModel, linkModel, verifierModel } from '../../models/host.model.ts';
import { agentModel, managerModel } from '../../models/root.model.ts';
import { serviceModel } from '../../models/service.model.ts';

/** Every state and transition of every machine, followed from its own model. */

const MODELS: Readonly<Record<string, readonly Model[]>> = {
  computation: [computationModel('auto'), computationModel('controlled')],
  transfer: [transferModel],
  attestation: [attestationModel],
  enclave: [enclaveModel],
  link: [linkModel],
  verifier: [verifierModel],
  agent: [agentModel],
  manager: [managerModel],
  service: [serviceModel],
};

describe.each(Object.entries(MODELS))('the %s machine', (_name, models) => {
  const explorations = models.map(explore);
  const missedByAll = (missed: (index: number) => readonly string[]) =>
    missed(0).filter((each) => explorations.every((_, index) => missed(index).includes(each)));

  it('reaches every state', () => {
    expect(missedByAll((index) => explorations[index]?.missedStates ?? [])).toEqual([]);
  });

  it('takes every transition', () => {
    expect(missedByAll((index) => explorations[index]?.missedTransitions ?? [])).toEqual([]);
  });

  it('keeps its invariants in every state', () => {
    expect(explorations.flatMap((exploration) => exploration.violations)).toEqual([]);
  });

  it('is moved by no event that is not legal', () => {
    expect(explorations.flatMap((exploration) => exploration.illegalMoves)).toEqual([]);
  });
});
