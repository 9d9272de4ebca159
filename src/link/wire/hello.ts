import { z } from 'zod';
import { LinkRole } from '../../machines/link.machine.ts';

export const LINK_PROTOCOL = 1;

/** First frame of either side on a new stream. */
export const Hello = z.strictObject({
  protocol: z.int(),
  role: LinkRole,
  /** Id that the manager assigned to the enclave; the agent learns it from the manager's hello. */
  enclaveId: z.string().max(64).nullable(),
  /** Unique for every start of the sender's process. */
  bootId: z.string().min(1).max(64),
  /** Boot id of the peer to whose journal `received` refers; null if the peer is not known yet. */
  peerBootId: z.string().max(64).nullable(),
  /** Highest stored position in the peer's journal. */
  received: z.int().min(0),
});
export type Hello = z.infer<typeof Hello>;

export const CommandBody = z.strictObject({
  id: z.string().min(1).max(64),
  name: z.string().min(1).max(64),
  input: z.unknown(),
});
export type CommandBody = z.infer<typeof CommandBody>;

export const ReplyBody = z.strictObject({
  id: z.string().min(1).max(64),
  ok: z.boolean(),
  value: z.unknown(),
});
export type ReplyBody = z.infer<typeof ReplyBody>;

/** A series of snapshot frames replaces the journal up to their common position. */
export const SnapshotBody = z.strictObject({
  first: z.boolean(),
  last: z.boolean(),
  records: z.array(z.unknown()),
});
