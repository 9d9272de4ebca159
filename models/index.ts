import { attestationModel, transferModel } from './agent-children.model.ts';
import { computationModel } from './computation.model.ts';
import type { Model } from './explore.ts';
import { enclaveModel, linkModel, verifierModel } from './host.model.ts';
import { agentModel, managerModel } from './root.model.ts';
import { serviceModel } from './service.model.ts';

/** The models of every machine; together they cover its chart. */
export const MODELS: Readonly<Record<string, readonly Model[]>> = {
  enclave: [enclaveModel],
  computation: [computationModel('auto'), computationModel('controlled')],
  transfer: [transferModel],
  attestation: [attestationModel],
  verifier: [verifierModel],
  link: [linkModel],
  manager: [managerModel],
  service: [serviceModel],
  agent: [agentModel],
};
