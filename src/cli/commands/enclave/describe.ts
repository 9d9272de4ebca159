import { Cause } from '../../../machines/common.ts';
import type { ActorInfo } from '../../../rpc/control-client.ts';
import { table } from '../../output.ts';
import { idOf, textOf } from './fields.ts';

export function describe(actor: ActorInfo): string[] {
  const text = (key: string) => textOf(actor, key);
  const cause = Cause.safeParse(actor.context['cause']);
  return table([
    ['enclave', `${text('name')} (${idOf(actor)})`],
    ['state', actor.state],
    ['mode', `${text('mode')}, accelerator ${text('accelerator')}, pid ${text('pid')}`],
    ['platform', text('platform')],
    ['measurement', text('measurement')],
    ['manifest', text('manifestDigest')],
    ['relay', text('relayAddress')],
    ['console', text('logFile')],
    ...(cause.success ? [['cause', `${cause.data.code}: ${cause.data.message}`]] : []),
  ]);
}
