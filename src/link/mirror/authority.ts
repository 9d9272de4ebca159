import { Actor, type AnyActor, type AnyMachineSnapshot, type InspectionEvent } from 'xstate';
import { kindOfAddress, type MirrorRecord } from '../../machines/mirrored.ts';

/**
 * Converts transitions of the mirrored machines of an actor system into journal records. An event without effect
 * leaves no record, since it would have no effect on the mirror either.
 */
export class Authority {
  private readonly publish: (record: MirrorRecord) => void;
  private readonly known = new Map<string, { ref: AnyActor; snapshot: AnyMachineSnapshot }>();

  constructor(publish: (record: MirrorRecord) => void) {
    this.publish = publish;
  }

  /** The `inspect` option of `createActor`. */
  readonly inspect = (inspected: InspectionEvent): void => {
    if (inspected.type !== '@xstate.snapshot' || !(inspected.actorRef instanceof Actor)) return;
    // Stopping is not a transition: the actor is retired by name, or its whole system ends.
    if (inspected.event.type === 'xstate.stop') return;
    const ref: AnyActor = inspected.actorRef;
    const address = ref.id;
    if (kindOfAddress(address) === null || !isMachineSnapshot(inspected.snapshot)) return;
    // A machine that threw does not move its mirror: its parent decides what follows.
    if (inspected.snapshot.status === 'error') return;
    const before = this.known.get(address);
    this.known.set(address, { ref, snapshot: inspected.snapshot });
    if (before === undefined || before.ref !== ref) {
      const { input } = inspected.event;
      this.publish({ kind: 'started', address, input: input ?? null });
    } else if (before.snapshot !== inspected.snapshot && moved(before.snapshot, inspected.snapshot)) {
      this.publish({ kind: 'event', address, event: inspected.event });
    }
  };

  /** Removes an actor that its parent stopped. */
  retire(address: string): void {
    if (this.known.delete(address)) this.publish({ kind: 'retired', address });
  }

  /** Records of the full state, for a peer whose position the journal no longer covers. */
  snapshot(): MirrorRecord[] {
    return [...this.known].map(([address, { ref }]) => ({
      kind: 'state',
      address,
      snapshot: ref.getPersistedSnapshot(),
    }));
  }
}

function isMachineSnapshot(snapshot: unknown): snapshot is AnyMachineSnapshot {
  return typeof snapshot === 'object' && snapshot !== null && 'value' in snapshot && 'context' in snapshot;
}

function moved(before: AnyMachineSnapshot, after: AnyMachineSnapshot): boolean {
  return (
    before.context !== after.context ||
    before.status !== after.status ||
    JSON.stringify(before.value) !== JSON.stringify(after.value)
  );
}
