import { type EventObject, fromCallback } from 'xstate';
import { asyncEffect } from '../effects.ts';
import type { CocosError } from '../errors.ts';
import type { EnclaveEffectInput } from '../machines/enclave.machine.ts';
import type { EnclaveHost } from './enclave-host.ts';

/** The effects of the enclave machine, each on the host side of the enclave that it belongs to. */
export function enclaveEffects(hostOf: (id: string) => EnclaveHost) {
  const effect = (
    run: (host: EnclaveHost, input: EnclaveEffectInput, signal: AbortSignal) => Promise<void>,
  ) =>
    asyncEffect<EnclaveEffectInput>(
      (input, signal) => run(hostOf(input.id), input, signal),
      (error: CocosError, { id }) => hostOf(id).broken(error),
    );
  return {
    prepare: effect((host, { enclave }) => host.prepare(enclave)),
    launch: effect((host, _, signal) => host.launch(signal)),
    link: fromCallback<EventObject, EnclaveEffectInput>(({ input }) => hostOf(input.id).startLink()),
    greet: effect((host, { enclave }) => host.greet(enclave)),
    shutDown: effect((host) => host.shutDown()),
    clean: effect((host) => host.clean()),
  };
}
