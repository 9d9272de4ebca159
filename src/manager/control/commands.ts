import { type AnyStateMachine, __unsafe_getAllOwnEventDescriptors as eventDescriptors } from 'xstate';
import { z } from 'zod';
import { CocosError } from '../../errors.ts';
import type { MachineState } from '../../link/mirror/compiled-machine.ts';
import { computationMachine } from '../../machines/computation.machine.ts';
import { ENCLAVE_PUBLIC_EVENTS } from '../../machines/enclave.events.ts';
import { Manifest } from '../../machines/manifest.ts';
import { systemClock } from '../../runtime/clock.ts';
import { schemaProblems } from '../../schema-problems.ts';
import type { EnclaveHost } from '../enclaves/enclave-host.ts';
import type { ActorView, Directory } from './directory.ts';

/** Events that clients may send, and what each becomes. The manager may only do what availability needs. */

const EnclavePublicEvent = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('enclave.stop') }),
]);

const ComputationPublicEvent = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('manifest.deliver'), manifest: Manifest }),
  z.strictObject({ type: z.literal('computation.stop') }),
]);

/** The event of its chart that each public event of a computation becomes inside the agent. */
const COMPUTATION_EVENTS = {
  'manifest.deliver': 'manifest.accepted',
  'computation.stop': 'computation.stop',
} as const;

/** Without the names of its states in its type, since what a mirror is in comes from a journal. */
const computationChart: AnyStateMachine = computationMachine;

/** Types of the events that a client may send to this actor in its present state. */
export function legalEvents(directory: Directory, view: ActorView): string[] {
  if (view.machine === 'enclave') {
    const accepted: readonly string[] = eventDescriptors(directory.actor(view.address).getSnapshot());
    return ENCLAVE_PUBLIC_EVENTS.filter((type) => accepted.includes(type));
  }
  if (view.machine === 'computation') {
    const accepted = acceptedByComputation(directory.snapshot(view.address));
    return Object.entries(COMPUTATION_EVENTS)
      .filter(([, type]) => accepted.includes(type))
      .map(([type]) => type);
  }
  return [];
}

/** Types of the events that the chart of a computation has a transition for in this state. */
function acceptedByComputation({ value, context }: MachineState): readonly string[] {
  return eventDescriptors(computationChart.resolveState({ value, context }));
}

/**
 * Sends a client's event to an actor.
 *
 * @throws CocosError ACTOR_NOT_FOUND, INPUT_INVALID, or STATE_EVENT_ILLEGAL with the state and the legal events.
 */
export async function sendPublicEvent(
  directory: Directory,
  hostOf: (address: string) => EnclaveHost,
  address: string,
  event: unknown,
): Promise<void> {
  const view = directory.view(address);
  const type = z.looseObject({ type: z.string() }).safeParse(event);
  if (!type.success)
    throw new CocosError('INPUT_INVALID', 'The event has no type: send an object with a type.');
  const legal = legalEvents(directory, view);
  if (!legal.includes(type.data.type)) {
    throw new CocosError(
      'STATE_EVENT_ILLEGAL',
      `'${type.data.type}' is not legal for ${address} in the state ${view.state}: ${legal.length === 0 ? 'it accepts no events there' : `it accepts ${legal.join(', ')}`}.`,
      { details: { state: view.state, legalEvents: legal } },
    );
  }
  if (view.machine === 'enclave') {
    parse(EnclavePublicEvent, event);
    return directory.send(address, { type: 'enclave.stop', atMs: systemClock.monotonic() });
  }
  const command = parse(ComputationPublicEvent, event);
  const enclave = address.split('/').slice(0, 2).join('/');
  if (command.type === 'manifest.deliver')
    return deliverManifest(directory, hostOf(enclave), enclave, command.manifest);
  await hostOf(enclave).command(command.type, {});
}

/** Errors after which the agent may have accepted the manifest all the same. */
const UNCERTAIN: ReadonlySet<string> = new Set(['LINK_LOST', 'DEADLINE_EXCEEDED']);

/**
 * Delivers a manifest to an agent. Its computation is recorded before that, so that no event of it is published
 * without, and since nothing that the guest claims later can change it.
 *
 * @throws CocosError STATE_EVENT_ILLEGAL for an enclave of another computation, or the agent's error
 */
async function deliverManifest(
  directory: Directory,
  host: EnclaveHost,
  enclave: string,
  manifest: Manifest,
): Promise<void> {
  const isNew = directory.enclave(enclave).computationId === null;
  if (isNew) {
    const atMs = systemClock.monotonic();
    directory.send(enclave, { type: 'computation.assigned', computationId: manifest.id, atMs });
  }
  const { computationId } = directory.enclave(enclave);
  if (computationId !== manifest.id) {
    const why = computationId === null ? 'is not running' : `belongs to the computation '${computationId}'`;
    throw new CocosError(
      'STATE_EVENT_ILLEGAL',
      `The manifest of '${manifest.id}' was not delivered: ${enclave} ${why}. Create another enclave for it.`,
      { details: { state: directory.view(enclave).state, legalEvents: [] } },
    );
  }
  await directory.settled();
  try {
    await host.command('manifest.deliver', { manifest });
  } catch (thrown) {
    if (isNew && !UNCERTAIN.has(CocosError.from(thrown).code))
      directory.send(enclave, { type: 'computation.released', atMs: systemClock.monotonic() });
    throw thrown;
  }
}

function parse<T>(schema: z.ZodType<T>, event: unknown): T {
  const parsed = schema.safeParse(event);
  if (parsed.success) return parsed.data;
  const problems = schemaProblems(parsed.error, event).join('; ');
  throw new CocosError('INPUT_INVALID', `The event is malformed at ${problems}.`);
}
