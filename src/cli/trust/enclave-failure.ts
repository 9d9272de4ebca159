import { CocosError } from '../../errors.ts';
import { Cause } from '../../machines/common.ts';
import type { ActorInfo, ControlClient } from '../../rpc/control-client.ts';

/** How long the manager may take to notice that an enclave has ended. */
const NOTICE_LIMIT_MS = 5_000;
const POLL_MS = 200;

/** Why an enclave has failed, with where its console was written to. */
export function failureOf(context: ActorInfo['context']): CocosError {
  const log = typeof context['logFile'] === 'string' ? { log: context['logFile'] } : {};
  const cause = Cause.safeParse(context['cause']);
  if (!cause.success) return new CocosError('ENCLAVE_FAILED', 'The enclave has failed.', { details: log });
  const { code, message, details } = cause.data;
  return new CocosError(code, message, { details: { ...log, ...details } });
}

/**
 * What stands behind an agent that does not answer: the failure of its enclave, when the manager knows of one, else
 * the error as it is.
 */
export async function explain(
  client: ControlClient,
  enclave: string,
  error: CocosError,
): Promise<CocosError> {
  if (error.code !== 'AGENT_UNAVAILABLE') return error;
  for (let waited = 0; waited < NOTICE_LIMIT_MS; waited += POLL_MS) {
    const actor = await client.get(enclave).catch(() => null);
    if (actor === null) return error;
    if (actor.state.startsWith('failed')) return failureOf(actor.context);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return error;
}
