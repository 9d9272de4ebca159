import type { InspectionEvent } from 'xstate';

const PREFIX = 'xstate.error.actor.';

/** The child of the actor `parent` whose failure this inspection event reports; null for any other event. */
export function failedChild(
  inspected: InspectionEvent,
  parent: string,
): { readonly address: string; readonly thrown: unknown } | null {
  if (inspected.type !== '@xstate.event' || !inspected.event.type.startsWith(PREFIX)) return null;
  if (!('id' in inspected.actorRef) || inspected.actorRef.id !== parent) return null;
  return { address: inspected.event.type.slice(PREFIX.length), thrown: inspected.event['error'] };
}
