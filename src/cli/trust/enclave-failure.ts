import { CocosError } from '../../errors.ts';
import { Cause } from '../../machines/common.ts';
import type { ActorInfo, ControlClient } from '../../rpc/control-client.ts';

/** Time in which the manager notices that an enclave has ended. */
const NOTICE_LIMIT_MS = 5_000;
const POLL_MS = 200;

/** The cause of an enclave's failure, with the path of its console log. */
export function failureOf(context: ActorInfo['context']): CocosError {
  const log = typeof context['logFile'] === 'string' ? { log: context['logFile'] } : {};
  const cause = Cause.safeParse(context['cause']);
  if (!cause.success)
    return new CocosError(
      'ENCLAVE_FAILED',
      'The enclave has failed, and the manager recorded no cause. Look at its console log.',
      { details: log },
    );
  const { code, message, details } = cause.data;
  return new CocosError(code, message, { details: { ...log, ...details } });
}

/**
 * Replaces the error of an agent that does not answer by the failure of its enclave, if the manager reports one.
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
