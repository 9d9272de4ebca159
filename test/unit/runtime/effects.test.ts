import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { createActor, setup } from 'xstate';
import { agentMachine } from '../../../src/machines/agent.machine.ts';
import { inert, unprovided } from '../../../src/machines/effect.ts';
import { asyncEffect, heldEffect } from '../../../src/runtime/effects.ts';
import { eventually } from '../../harness/eventually.ts';
import { ROOT } from '../../harness/system.ts';

/** Effects that throw: their builders keep errors from the machine; supervision handles any that still reach it. */

/** A parent whose one child runs one effect. */
function runs(effect: ReturnType<typeof unprovided<object>>) {
  const child = setup({ actors: { effect } }).createMachine({
    initial: 'running',
    states: { running: { invoke: { src: 'effect', id: 'effect', input: {} } } },
  });
  const parent = setup({ actors: { child } }).createMachine({
    invoke: { src: 'child', id: 'child' },
    on: { 'xstate.error.*': {} },
  });
  return createActor(parent).start();
}

const statusOfChild = (actor: ReturnType<typeof runs>) =>
  actor.getSnapshot().children['child']?.getSnapshot();

describe('an effect', () => {
  it.each([
    ['that throws', asyncEffect<object>],
    [
      'that rejects',
      (run: () => Promise<void>, onError: () => void) =>
        asyncEffect<object>(() => Promise.resolve().then(run), onError),
    ],
    [
      'that throws while it acquires a resource',
      (run: () => unknown, onError: () => void) =>
        heldEffect<object>(() => {
          run();
          return undefined;
        }, onError),
    ],
  ])('%s reports it and does not end its machine', async (_what, make) => {
    const reported = vi.fn();
    const actor = runs(
      make(() => {
        throw new Error('thrown');
      }, reported) as never,
    );
    await eventually(() => expect(reported).toHaveBeenCalledOnce());
    expect(statusOfChild(actor)).toMatchObject({ status: 'active', value: 'running' });
  });

  it('reports nothing once its state was left', async () => {
    const reported = vi.fn();
    const throwing = heldEffect<object>(() => {
      throw new Error('thrown');
    }, reported);
    runs(throwing as never).stop();
    await new Promise((resolve) => setImmediate(resolve));
    expect(reported).not.toHaveBeenCalled();
  });

  it('does not end its machine when it is not provided', () => {
    const actor = runs(unprovided<object>('none'));
    expect(actor.getSnapshot().status).toBe('active');
  });

  it('does not end a root when it is not provided', () => {
    const actors = {
      measure: unprovided<object>('measure'),
      listen: inert<object>(),
      link: inert<object>(),
      shutDown: inert<object>(),
    };
    const root = createActor(agentMachine.provide({ actors })).start();
    expect(root.getSnapshot()).toMatchObject({ status: 'active', value: 'starting' });
    root.stop();
  });

  it('is built in one place only, so that no other can throw', () => {
    const files = readdirSync(path.join(ROOT, 'src'), { recursive: true, encoding: 'utf8' });
    const makers = files
      .filter((file) => file.endsWith('.ts'))
      .filter((file) =>
        /\bfrom(Callback|Promise|Observable)\b/.test(readFileSync(path.join(ROOT, 'src', file), 'utf8')),
      );
    expect(makers.sort()).toEqual(['machines/effect.ts', 'runtime/effects.ts']);
  });
});
