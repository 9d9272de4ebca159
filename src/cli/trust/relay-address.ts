import { CocosError } from '../../errors.ts';
import type { ControlClient } from '../../rpc/control-client.ts';

/** The relay address of an enclave's agent. @throws CocosError ENCLAVE_NOT_FOUND, ENCLAVE_FAILED, AGENT_UNAVAILABLE */
export async function relayOf(client: ControlClient, enclave: string): Promise<string> {
  const { state, context } = await client.get(enclave);
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
  return relay;
}
