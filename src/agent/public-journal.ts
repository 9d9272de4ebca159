import { kindOfAddress, MIRRORED, type MirrorRecord } from '../machines/mirrored.ts';
import { publicContext } from '../machines/public-context.ts';

type StateRecord = Extract<MirrorRecord, { kind: 'state' }>;

/**
 * The journal as the host gets it. Every record fits its schema, so that no text of a participant becomes part of one
 * and the manager's mirrors never refuse one. A record that does not fit is a defect of the agent; in its place goes
 * the actor's state, reduced to what fits, with the code INTERNAL where something is missing. From then on the actor
 * publishes states, since its mirror may not follow its events any more. An actor whose input does not fit is omitted.
 */
export class PublicJournal {
  private readonly publish: (record: MirrorRecord) => void;
  /** The present state of all actors. */
  private readonly states: () => readonly MirrorRecord[];
  /** Actors whose events the mirror cannot follow. */
  private readonly reduced = new Set<string>();
  private readonly omitted = new Set<string>();

  constructor(publish: (record: MirrorRecord) => void, states: () => readonly MirrorRecord[]) {
    this.publish = publish;
    this.states = states;
  }

  add(record: MirrorRecord): void {
    const { address } = record;
    const kind = kindOfAddress(address);
    if (kind === null) return;
    switch (record.kind) {
      case 'started':
        this.reduced.delete(address);
        if (MIRRORED[kind].input.safeParse(record.input).success) this.omitted.delete(address);
        else this.omitted.add(address);
        if (!this.omitted.has(address)) this.publish(record);
        return;
      case 'event':
        if (this.omitted.has(address)) return;
        if (!MIRRORED[kind].event.safeParse(record.event).success) this.reduced.add(address);
        if (!this.reduced.has(address)) this.publish(record);
        else for (const state of this.snapshot()) if (state.address === address) this.publish(state);
        return;
      case 'state':
        if (!this.omitted.has(address)) this.publish(publicState(record));
        return;
      case 'retired':
        this.reduced.delete(address);
        if (!this.omitted.delete(address)) this.publish(record);
        return;
    }
  }

  /** Records of the full state. */
  snapshot(): MirrorRecord[] {
    return this.states().flatMap((record) => {
      if (this.omitted.has(record.address)) return [];
      return [record.kind === 'state' ? publicState(record) : record];
    });
  }
}

function publicState({ address, snapshot }: StateRecord): StateRecord {
  const kind = kindOfAddress(address);
  if (kind === null || typeof snapshot !== 'object' || snapshot === null) {
    return { kind: 'state', address, snapshot: null };
  }
  const { value, context } = { value: null, context: {}, ...snapshot };
  return {
    kind: 'state',
    address,
    snapshot: { status: 'active', value, context: publicContext(kind, context) },
  };
}
