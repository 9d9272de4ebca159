import { inert } from '../src/machines/effect.ts';
import { serviceMachine } from '../src/machines/service.machine.ts';
import type { Model } from './explore.ts';

const cause = { code: 'SERVICE_UNAVAILABLE', message: 'gone' } as const;

export const serviceModel: Model = {
  machine: serviceMachine.provide({
    actors: {
      ...{ open: inert(), serve: inert(), replay: inert(), deliver: inert(), wait: inert(), close: inert() },
    },
  }),
  events: [
    { type: 'service.start' },
    { type: 'service.stop' },
    { type: 'stream.opened' },
    { type: 'stream.lost', cause, atMs: 2 },
    { type: 'welcome.received', serviceId: 's' },
    { type: 'replay.finished', atMs: 1 },
    { type: 'backoff.ended' },
    { type: 'stream.closed' },
  ],
  distinguish: ({ serviceId, liveSinceMs, cause: why }) => [serviceId, liveSinceMs, why !== null],
  invariant: (state, { serviceId, liveSinceMs, cause: why, attempts }) => {
    if ((liveSinceMs !== null) !== (state === 'attached.live') && state !== 'closing')
      return 'live at the wrong time';
    if (state === 'attached.live' && serviceId === null) return 'live without a service';
    if (state === 'attached.live' && (why !== null || attempts !== 0))
      return 'a live stream with a stale loss';
    if (state === 'disconnected' && (why !== null || attempts !== 0)) return 'disconnected with a stale loss';
    return null;
  },
};
