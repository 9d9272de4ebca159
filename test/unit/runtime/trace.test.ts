import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createActor } from 'xstate';
import { inert } from '../../../src/machines/effect.ts';
import { managerMachine } from '../../../src/machines/manager.machine.ts';
import { traceTo } from '../../../src/runtime/trace.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'cocos-t-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function manager(file: string) {
  const effect = inert<object>();
  const machine = managerMachine.provide({ actors: { open: effect, empty: effect, close: effect } });
  const inspect = traceTo(file);
  return createActor(machine, { id: 'manager', ...(inspect === undefined ? {} : { inspect }) });
}

describe('a trace', () => {
  it('has a line for each step, including self-transitions, and none for illegal events', () => {
    const file = path.join(folder, 'trace');
    const actor = manager(file).start();
    actor.send({ type: 'manager.closed' });
    actor.send({ type: 'manager.opened' });
    actor.send({ type: 'child.settled', address: 'enclave/abcd' });
    actor.stop();
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
    const base = { pid: process.pid, machine: 'manager', actor: 'manager', time: expect.any(String) };
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      { ...base, event: 'xstate.init', from: '', to: 'starting' },
      { ...base, event: 'manager.opened', from: 'starting', to: 'serving' },
      { ...base, event: 'child.settled', from: 'serving', to: 'serving' },
    ]);
  });

  it('does not affect machines when it cannot be written', () => {
    const actor = manager(path.join(folder, 'missing', 'trace')).start();
    actor.send({ type: 'manager.opened' });
    expect(actor.getSnapshot().value).toBe('serving');
    actor.stop();
  });

  it('does not exist without a file', () => {
    expect(traceTo(undefined)).toBeUndefined();
  });
});
