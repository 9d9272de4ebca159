import { CocosError } from '../../errors.ts';
import type { ControlClient } from '../../rpc/control-client.ts';
import { isGatewayAddress } from '../transfer/relay-address.ts';

/**
 * Where the agent of an enclave is reached.
 *
 * @param enclave its name or id, or the address of one behind a gateway, for which no manager is asked
 * @throws CocosError ENCLAVE_NOT_FOUND, ENCLAVE_FAILED, AGENT_UNAVAILABLE
 */
export async function relayOf(client: ControlClient, enclave: string): Promise<string> {
  if (isGatewayAddress(enclave)) return enclave;
  const { actor, participants } = await client.find(enclave);
  const { state, context } = actor;
  const relay = context['relayAddress'];
  if (state.startsWith('failed') || state.startsWith('stopped')) {
    throw new CocosError(
      'ENCLAVE_FAILED',
      `The enclave '${enclave}' has ${state.startsWith('failed') ? 'failed' : 'stopped'}. Remove it and create a new one.`,
      {
        details: { cause: context['cause'] },
      },
    );
  }
  if (typeof relay !== 'string') {
    throw new CocosError(
      'AGENT_UNAVAILABLE',
      `The agent of the enclave '${enclave}' is not ready yet: the enclave is in the state ${state}.`,
    );
  }
  if (client.isLocal) return relay;
  if (participants !== null) return participants;
  // Its port may be forwarded to this machine.
  if (relay.startsWith('tcp:')) return relay;
  throw new CocosError(
    'AGENT_UNAVAILABLE',
    `Only the manager's own machine can connect to its enclaves: its operator sets COCOSAI_PARTICIPANTS.`,
  );
}
