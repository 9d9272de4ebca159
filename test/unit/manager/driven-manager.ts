import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type MockInstance, vi } from 'vitest';
import type { MirrorSet } from '../../../src/link/mirror/mirror.ts';
import { readManagerConfig } from '../../../src/manager/config.ts';
import { EnclaveHost } from '../../../src/manager/enclaves/enclave-host.ts';
import { Manager } from '../../../src/manager/manager.ts';

/** A whole manager in process mode whose enclaves start nothing on the host: the test drives their machines. */

export interface DrivenManager {
  readonly manager: Manager;
  /** Stops the manager and starts another one on the same folders. */
  restart(settings: NodeJS.ProcessEnv): Promise<void>;
  readonly folder: string;
  /** Commands that went to agents, as the test answers them. */
  readonly command: MockInstance<EnclaveHost['command']>;
  /** Creates an enclave whose agent is ready. */
  create(name: string, manifest?: object): Promise<string>;
  mirrorsOf(address: string): MirrorSet;
  close(): Promise<void>;
}

export async function driveManager(settings: NodeJS.ProcessEnv = {}): Promise<DrivenManager> {
  const folder = mkdtempSync(path.join(tmpdir(), 'cocosai-driven-'));
  const host = EnclaveHost.prototype;
  const mocks = [
    vi.spyOn(host, 'prepare').mockResolvedValue(),
    vi.spyOn(host, 'launch').mockResolvedValue(),
    vi.spyOn(host, 'startLink').mockReturnValue(() => undefined),
    vi.spyOn(host, 'handshake').mockResolvedValue(),
  ];
  const command = vi.spyOn(host, 'command').mockResolvedValue({});
  const open = async (own: NodeJS.ProcessEnv): Promise<Manager> => {
    const environment = {
      ...{ COCOSAI_MODE: 'process', COCOSAI_STATE_DIR: path.join(folder, 'state') },
      ...{ COCOSAI_RUN_DIR: path.join(folder, 'run'), ...own },
    };
    // Any file that exists stands for the relay program, which nothing here starts.
    const config = { ...readManagerConfig(environment, folder), relayProgram: import.meta.filename };
    const opened = await Manager.open(config, () => undefined);
    await opened.start();
    return opened;
  };
  const stop = async () => {
    manager.requestStop();
    await manager.ended();
  };
  let manager = await open(settings);
  return {
    ...{ folder, command },
    get manager() {
      return manager;
    },
    restart: async (own) => {
      await stop();
      manager = await open(own);
    },
    create: async (name, manifest) => {
      const manifestJson = manifest === undefined ? '' : JSON.stringify(manifest);
      const request = { name, mode: '', platform: '', vcpus: 0, memoryMiB: 0, manifestJson };
      const address = await manager.control.createEnclave(request);
      const started = { pid: 99, accelerator: 'process', measurement: '00', atMs: 1 };
      manager.directory.send(address, {
        ...{ type: 'enclave.prepared', relayAddress: 'unix:/x', logFile: '/x', atMs: 1 },
      });
      manager.directory.send(address, { type: 'vm.started', ...started });
      manager.directory.send(address, { type: 'link.live', bootId: 'b' });
      manager.directory.send(address, { type: 'agent.ready', version: '0' });
      await manager.directory.settled();
      return address;
    },
    mirrorsOf: (address) => manager['registry'].get(address).mirrors,
    close: async () => {
      await stop();
      for (const mock of [...mocks, command]) mock.mockRestore();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
