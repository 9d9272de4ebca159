import type { GetHostResponse } from '../../rpc/gen/cocosai/control/v1/control.ts';
import type { EnclaveRequest } from '../enclaves/enclave-request.ts';
import type { Directory } from './directory.ts';

/** What the control service needs: one manager implements it, and so can anything that stands for several. */
export interface ControlBackend {
  readonly directory: Directory;
  /** Where participants of other machines connect to an enclave; empty for nowhere. */
  participantsAddress(address: string): string;
  describeHost(probe: boolean): Promise<GetHostResponse>;
  /** Address of an actor by its address, or by the name or id of an enclave. @throws CocosError ENCLAVE_NOT_FOUND */
  resolve(text: string): string;
  /** Address of the new enclave. @throws CocosError INPUT_INVALID, MANIFEST_INVALID, ENCLAVE_EXISTS, LIMIT_EXCEEDED */
  createEnclave(request: EnclaveRequest): Promise<string>;
  /** Stops the enclave if it runs, and removes it. @throws CocosError ENCLAVE_NOT_FOUND */
  removeEnclave(address: string): Promise<void>;
  /** Sends a client's event to an actor. @throws CocosError ACTOR_NOT_FOUND, INPUT_INVALID, STATE_EVENT_ILLEGAL */
  sendEvent(address: string, event: unknown): Promise<void>;
}
