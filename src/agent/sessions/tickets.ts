import { randomBytes } from 'node:crypto';
import { CocosError } from '../../errors.ts';
import { TICKET_BYTES } from '../../rpc/bulk.ts';
import { systemClock } from '../../runtime/clock.ts';

/** A ticket that nobody has come with for this long is worth nothing. */
const TICKET_LIMIT_MS = 60_000;
/** Unused tickets of one session; the oldest gives way. */
const SESSION_TICKETS = 16;

/** What a ticket is good for, once. */
export type Grant =
  | { readonly kind: 'upload'; readonly transferId: string; readonly attempt: number }
  | { readonly kind: 'download' };

interface Ticket {
  readonly sessionId: string;
  readonly grant: Grant;
  readonly untilMs: number;
}

/** One-time tickets that sessions hand out for bulk bytes: whoever shows one was told it under the session's keys. */
export class Tickets {
  private readonly tickets = new Map<string, Ticket>();

  issue(sessionId: string, grant: Grant): Uint8Array {
    this.dropStale();
    const own = [...this.tickets].filter(([, ticket]) => ticket.sessionId === sessionId);
    const [oldest] = own;
    if (oldest !== undefined && own.length >= SESSION_TICKETS) this.tickets.delete(oldest[0]);
    const ticket = randomBytes(TICKET_BYTES);
    this.tickets.set(ticket.toString('hex'), {
      sessionId,
      grant,
      untilMs: systemClock.monotonic() + TICKET_LIMIT_MS,
    });
    return ticket;
  }

  /**
   * Takes a ticket in: it is not good for anything after that.
   * @throws CocosError SESSION_NOT_FOUND for one that is unknown, used, too old, or for something else
   */
  redeem<Kind extends Grant['kind']>(
    ticket: Uint8Array,
    kind: Kind,
  ): { readonly sessionId: string; readonly grant: Extract<Grant, { kind: Kind }> } {
    this.dropStale();
    const name = Buffer.from(ticket).toString('hex');
    const found = this.tickets.get(name);
    if (found === undefined || !isOf(found.grant, kind)) {
      throw new CocosError('SESSION_NOT_FOUND', `The ticket is not one that is good for this ${kind}.`);
    }
    this.tickets.delete(name);
    return { sessionId: found.sessionId, grant: found.grant };
  }

  /** The session has ended. */
  forget(sessionId: string): void {
    for (const [name, ticket] of this.tickets) if (ticket.sessionId === sessionId) this.tickets.delete(name);
  }

  private dropStale(): void {
    const atMs = systemClock.monotonic();
    for (const [name, { untilMs }] of this.tickets) if (untilMs < atMs) this.tickets.delete(name);
  }
}

function isOf<Kind extends Grant['kind']>(grant: Grant, kind: Kind): grant is Extract<Grant, { kind: Kind }> {
  return grant.kind === kind;
}
