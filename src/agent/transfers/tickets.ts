import { randomBytes } from 'node:crypto';
import { TICKET_BYTES } from '../../rpc/bulk.ts';
import { systemClock } from '../../runtime/clock.ts';

/** Lifetime of an unused ticket. */
const TICKET_LIMIT_MS = 60_000;
/** Unused tickets of one session; a further one replaces the oldest. */
const SESSION_TICKETS = 16;

interface Ticket<Grant> {
  readonly sessionId: string;
  readonly grant: Grant;
  readonly untilMs: number;
}

/** One-time tickets for bulk streams. A session receives them sealed, so the bearer is its participant. */
export class Tickets<Grant> {
  private readonly tickets = new Map<string, Ticket<Grant>>();

  issue(sessionId: string, grant: Grant): Uint8Array {
    this.dropExpired();
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

  /** Invalidates a ticket and returns what it grants; null for one that is unknown, used or expired. */
  redeem(ticket: Uint8Array): { readonly sessionId: string; readonly grant: Grant } | null {
    this.dropExpired();
    const name = Buffer.from(ticket).toString('hex');
    const found = this.tickets.get(name);
    if (found === undefined) return null;
    this.tickets.delete(name);
    return { sessionId: found.sessionId, grant: found.grant };
  }

  revoke(sessionId: string): void {
    for (const [name, ticket] of this.tickets) if (ticket.sessionId === sessionId) this.tickets.delete(name);
  }

  private dropExpired(): void {
    const atMs = systemClock.monotonic();
    for (const [name, { untilMs }] of this.tickets) if (untilMs < atMs) this.tickets.delete(name);
  }
}
