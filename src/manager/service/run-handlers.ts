import type { EnclaveControl } from '../enclaves/enclave-control.ts';
import type { RunHandlers } from './run-requests.ts';

type RunControl = Pick<
  EnclaveControl,
  'createEnclave' | 'findByComputation' | 'requestStop' | 'removeEnded' | 'endedComputations' | 'isKnown'
>;

/** What the management service may ask of the manager, as calls of its control. */
export function runHandlers(control: RunControl): RunHandlers {
  const idOf = (address: string) => address.slice('enclave/'.length);
  return {
    onRun: async (manifest, { name, mode, vcpus, memoryMib, platform }) => {
      const manifestJson = JSON.stringify(manifest);
      const request = { name, mode, platform, vcpus, memoryMiB: memoryMib, manifestJson };
      return idOf(await control.createEnclave(request));
    },
    findRun: (computationId) => {
      const address = control.findByComputation(computationId);
      return address === null ? null : idOf(address);
    },
    onStop: async (enclaveId) => {
      const address = `enclave/${enclaveId}`;
      if (control.isKnown(address)) control.requestStop(address);
    },
    endedRuns: () => control.endedComputations(),
    onAcknowledged: (enclaveId) => control.removeEnded(`enclave/${enclaveId}`),
  };
}
