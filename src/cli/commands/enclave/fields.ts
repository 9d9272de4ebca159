import type { ActorInfo } from '../../../rpc/control-client.ts';

/** The id of an enclave's actor. */
export function idOf(actor: ActorInfo): string {
  return actor.address.slice('enclave/'.length);
}

/** A value of the actor's context as text; a dash where it has none. */
export function textOf(actor: ActorInfo, key: string): string {
  const value = actor.context[key];
  return value === null || value === undefined ? '-' : String(value);
}
