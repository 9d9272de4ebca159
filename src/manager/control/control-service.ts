import type { ServerWritableStream, UntypedHandleCall } from '@grpc/grpc-js';
import { CocosError } from '../../errors.ts';
import type { Transition } from '../../link/mirror/mirror.ts';
import type {
  ControlServiceServer,
  WatchActorsRequest,
  WatchActorsResponse,
} from '../../rpc/gen/cocosai/control/v1/control.ts';
import { toStatus } from '../../rpc/status.ts';
import { unary } from '../../rpc/unary.ts';
import type { EnclaveRequest } from '../enclaves/enclave-request.ts';
import { legalEvents } from './commands.ts';
import type { ControlBackend } from './control-backend.ts';
import { type ActorView, type Directory, publicContext } from './directory.ts';
import type { DirectoryItem } from './history.ts';

/** Items that one watcher may be behind before it is cut off. */
const WATCH_BACKLOG_LIMIT = 10_000;
/** Characters of contexts that may wait for it: guests decide how large those are. */
const WATCH_BACKLOG_CHARACTERS = 16 * 1024 * 1024;

/** Actors of one page of a list, and characters of their contexts after which it ends. */
const PAGE_ACTORS = 1_000;
const PAGE_CHARACTERS = 512 * 1024;

/** Serves `cocosai.control.v1` for a backend. */
export function controlService(
  backend: ControlBackend,
): ControlServiceServer & Record<string, UntypedHandleCall> {
  const { directory } = backend;
  const actorOf = (view: ActorView) => ({
    address: view.address,
    machine: view.machine,
    state: view.state,
    contextJson: JSON.stringify(view.context),
    legalEvents: legalEvents(directory, view),
  });
  return {
    getHost: unary(({ probe }) => backend.describeHost(probe)),
    createEnclave: unary(async (request) => {
      const wanted: EnclaveRequest = {
        name: request.name,
        mode: request.mode,
        platform: request.platform,
        vcpus: request.vcpus,
        memoryMiB: request.memoryMib,
        manifestJson: request.manifestJson,
      };
      return { actor: actorOf(directory.view(await backend.createEnclave(wanted))) };
    }),
    removeEnclave: unary(async ({ enclave }) => {
      await backend.removeEnclave(backend.resolve(enclave));
      return {};
    }),
    listActors: unary(async ({ prefix, after }) => {
      const views = directory.list(prefix).filter(({ address }) => address > after);
      const actors: ReturnType<typeof actorOf>[] = [];
      let characters = 0;
      for (const view of views) {
        if (characters > PAGE_CHARACTERS || actors.length >= PAGE_ACTORS) break;
        const actor = actorOf(view);
        characters += actor.contextJson.length;
        actors.push(actor);
      }
      return { actors, hasMore: actors.length < views.length };
    }),
    getActor: unary(async ({ address }) => {
      const resolved = backend.resolve(address);
      return {
        actor: actorOf(directory.view(resolved)),
        participants: backend.participantsAddress(resolved),
      };
    }),
    watchActors: (call) => watch(directory, backend, call, actorOf),
    sendEvent: unary(async ({ address, eventJson }) => {
      const resolved = backend.resolve(address);
      await backend.sendEvent(resolved, parseJson(eventJson));
      return { actor: actorOf(directory.view(resolved)) };
    }),
  };
}

function watch(
  directory: Directory,
  backend: ControlBackend,
  call: ServerWritableStream<WatchActorsRequest, WatchActorsResponse>,
  actorOf: (
    view: ActorView,
  ) => NonNullable<Extract<WatchActorsResponse['item'], { $case: 'snapshot' }>>['value'],
): void {
  let prefix: string;
  try {
    prefix = call.request.prefix === '' ? '' : backend.resolve(call.request.prefix);
  } catch (thrown) {
    return void call.emit('error', toStatus(thrown));
  }
  let waiting = 0;
  const write = (item: DirectoryItem) => {
    if (item.kind === 'removed') return void call.write({ item: { $case: 'removed', value: item.address } });
    const value = transitionOf(item.sequence, item.transition);
    waiting += value.contextJson.length;
    call.write({ item: { $case: 'transition', value } }, () => {
      waiting -= value.contextJson.length;
    });
  };
  const { afterSequence } = call.request;
  const missed = afterSequence === 0 ? null : directory.since(prefix, afterSequence);
  if (missed === null) {
    for (const view of directory.list(prefix)) {
      call.write({ item: { $case: 'snapshot', value: actorOf(view) } });
    }
  }
  call.write({ item: { $case: 'position', value: missed === null ? directory.position : afterSequence } });
  for (const item of missed ?? []) write(item);
  const unwatch = directory.watch(prefix, (item) => {
    if (call.writableLength > WATCH_BACKLOG_LIMIT || waiting > WATCH_BACKLOG_CHARACTERS) {
      unwatch();
      return void call.emit(
        'error',
        toStatus(new CocosError('LIMIT_EXCEEDED', 'The watcher reads too slowly.')),
      );
    }
    write(item);
  });
  call.on('cancelled', unwatch);
  call.on('close', unwatch);
}

function transitionOf(sequence: number, { address, event, from, to, after, atMs }: Transition) {
  const contextJson = JSON.stringify(publicContext(after.context));
  return { sequence, address, event, fromState: from, toState: to, atMs, contextJson };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CocosError('INPUT_INVALID', 'The event is not JSON.', { cause });
  }
}
