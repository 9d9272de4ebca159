import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { readManagerConfig } from '../../../src/manager/config.ts';
import { Manager } from '../../../src/manager/manager.ts';
import { eventually } from '../../harness/eventually.ts';

/** A management service that accepts connections and says nothing, so that the stream goes on connecting. */

let folder: string;
let silent: net.Server;
const messages: string[] = [];

beforeEach(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'cocosai-stop-'));
  messages.length = 0;
  silent = net.createServer((socket) => socket.on('error', () => undefined));
  silent.listen(path.join(folder, 'service.sock'));
  await once(silent, 'listening');
});
afterEach(() => {
  silent.close();
  rmSync(folder, { recursive: true, force: true });
});

const settings = () => ({
  ...{ COCOSAI_MODE: 'process', COCOSAI_STATE_DIR: path.join(folder, 'state') },
  ...{ COCOSAI_RUN_DIR: path.join(folder, 'run'), COCOSAI_SERVICE: `unix:${folder}/service.sock` },
});
/** Any file that exists stands for the relay program, which no test here starts. */
const config = (relayProgram: string = import.meta.filename) => ({
  ...readManagerConfig(settings(), folder),
  relayProgram,
});
const open = () => Manager.open(config(), (_, message) => void messages.push(message));

describe('a manager that stops', () => {
  it('closes its journal, store and lock although the machine of its service stream has thrown', async () => {
    const manager = await open();
    await manager.start();
    await eventually(() => expect(manager.directory.view('service').state).toBe('connecting'));
    const poison = {
      type: 'stream.lost',
      get cause(): never {
        throw new Error('poisoned');
      },
    };
    manager.directory.actor('service').send(poison);
    // Before the supervisor's delay is over: the client is the one whose machine has thrown.
    manager.requestStop();
    await manager.ended();
    expect(existsSync(path.join(folder, 'state/lock.json'))).toBe(false);
    const next = await open();
    await next.start();
    next.requestStop();
    await next.ended();
  });

  it('closes every part after one that cannot be closed, and reports that one', async () => {
    const manager = await open();
    await manager.start();
    vi.spyOn(manager.directory, 'settled').mockRejectedValue(new Error('planted'));
    manager.requestStop();
    await manager.ended();
    expect(messages).toContain('a component could not be stopped');
    expect(existsSync(path.join(folder, 'state/lock.json'))).toBe(false);
  });
});

describe('a manager that starts', () => {
  it('names a relay program that is missing, and leaves the state folder unlocked', async () => {
    const opened = Manager.open(config(path.join(folder, 'none.js')), () => undefined);
    await expect(opened).rejects.toMatchObject({ code: 'HOST_PROGRAM_MISSING' });
    expect(existsSync(path.join(folder, 'state/lock.json'))).toBe(false);
  });
});
