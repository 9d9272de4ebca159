import { randomUUID } from 'node:crypto';
import { CocosError } from '../errors.ts';
import { Cause } from '../machines/common.ts';
import { CommandBody, ReplyBody } from './wire/hello.ts';

/** Replies kept, so that a repeated command gets the same reply and is not applied again. */
const REPLY_MEMORY = 1024;

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: CocosError) => void;
  readonly timer: NodeJS.Timeout;
}

interface CommandsOptions {
  readonly run: ((name: string, input: unknown) => Promise<unknown>) | undefined;
  readonly reply: (body: ReplyBody) => void;
}

/** Commands over a link: calls that wait for a reply, and received commands, each applied at most once. */
export class Commands {
  private readonly options: CommandsOptions;
  private readonly pending = new Map<string, Pending>();
  private readonly seen = new Map<string, ReplyBody | null>();

  constructor(options: CommandsOptions) {
    this.options = options;
  }

  /** @throws CocosError DEADLINE_EXCEEDED, or what `send` throws, or the peer's error. */
  call(name: string, input: unknown, timeoutMs: number, send: (body: CommandBody) => void): Promise<unknown> {
    const id = randomUUID();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.pending.delete(id);
        reject(
          new CocosError(
            'DEADLINE_EXCEEDED',
            `The agent did not answer '${name}' within ${timeoutMs} ms; try again.`,
          ),
        );
      }, timeoutMs);
      this.pending.set(id, { resolve, reject, timer });
      try {
        send({ id, name, input });
      } catch (thrown) {
        clearTimeout(timer);
        this.pending.delete(id);
        reject(CocosError.from(thrown));
      }
    });
  }

  /** Handles a reply of the peer. Replies to calls that timed out are ignored. */
  settle(body: unknown): void {
    const reply = ReplyBody.safeParse(body);
    if (!reply.success) throw new CocosError('LINK_PROTOCOL', 'The peer sent a malformed reply.');
    const pending = this.pending.get(reply.data.id);
    if (pending === undefined) return;
    this.pending.delete(reply.data.id);
    clearTimeout(pending.timer);
    if (reply.data.ok) pending.resolve(reply.data.value);
    else pending.reject(errorFromWire(reply.data.value));
  }

  /** Handles a command of the peer. */
  accept(body: unknown): void {
    const command = CommandBody.safeParse(body);
    if (!command.success) throw new CocosError('LINK_PROTOCOL', 'The peer sent a malformed command.');
    const { id, name, input } = command.data;
    const before = this.seen.get(id);
    if (before !== undefined) {
      if (before !== null) this.options.reply(before);
      return;
    }
    this.remember(id, null);
    const run =
      this.options.run ??
      (() => Promise.reject(new CocosError('LINK_PROTOCOL', 'This end of the link accepts no commands.')));
    run(name, input).then(
      (value) => this.answer({ id, ok: true, value: value ?? null }),
      (thrown: unknown) => this.answer({ id, ok: false, value: CocosError.from(thrown).toJSON() }),
    );
  }

  failAll(error: CocosError): void {
    for (const pending of this.pending.values()) {
      clearTimeout(pending.timer);
      pending.reject(error);
    }
    this.pending.clear();
  }

  private answer(reply: ReplyBody): void {
    this.remember(reply.id, reply);
    try {
      this.options.reply(reply);
    } catch (thrown) {
      // The value does not fit a frame; the caller gets that error instead.
      const refusal = { id: reply.id, ok: false, value: CocosError.from(thrown).toJSON() };
      this.remember(reply.id, refusal);
      this.options.reply(refusal);
    }
  }

  private remember(id: string, reply: ReplyBody | null): void {
    this.seen.delete(id);
    this.seen.set(id, reply);
    const oldest = this.seen.keys().next();
    if (this.seen.size > REPLY_MEMORY && !oldest.done) this.seen.delete(oldest.value);
  }
}

/** The error that a peer sent. A malformed one counts as an internal error of the peer. */
function errorFromWire(value: unknown): CocosError {
  const cause = Cause.safeParse(value);
  if (!cause.success) return new CocosError('INTERNAL', 'The peer reported an error in an unknown format.');
  return CocosError.fromJson(cause.data);
}
