import type { CocosError } from '../../errors.ts';
import type { EnclaveEffectInput } from '../../machines/enclave.machine.ts';
import { asyncEffect, heldEffect } from '../../runtime/effects.ts';
import type { EnclaveHost } from './enclave-host.ts';

/** The effects of the enclave machine, each on the host side of the enclave that it belongs to. */
export function enclaveEffects(hostOf: (id: string) => EnclaveHost) {
  const broken = (error: CocosError, { id }: EnclaveEffectInput) => hostOf(id).broken(error);
  const effect = (
    run: (host: EnclaveHost, input: EnclaveEffectInput, signal: AbortSignal) => Promise<void>,
  ) => asyncEffect<EnclaveEffectInput>((input, signal) => run(hostOf(input.id), input, signal), broken);
  return {
    prepare: effect((host, { enclave }, signal) => host.prepare(enclave, signal)),
    launch: effect((host, _, signal) => host.launch(signal)),
    link: heldEffect<EnclaveEffectInput>(({ id }) => hostOf(id).startLink(), broken),
    handshake: effect((host, { enclave }) => host.handshake(enclave)),
    shutDown: effect((host) => host.shutDown()),
    clean: effect((host) => host.clean()),
  };
}
