import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ReferenceService } from '../../../examples/service/reference-service.ts';
import { EnclaveHost } from '../../../src/manager/enclaves/enclave-host.ts';
import { parseAddress } from '../../../src/rpc/address.ts';
import { eventually } from '../../harness/eventually.ts';
import { type DrivenManager, driveManager } from './driven-manager.ts';
import { manifest, NO_TLS } from './service/client-world.ts';

const request = { name: '', mode: '', platform: '', vcpus: 0, memoryMiB: 0, manifestJson: '' };

describe('a request for an enclave', () => {
  let driven: DrivenManager;
  beforeEach(async () => {
    driven = await driveManager({ COCOSAI_MAX_VCPUS: '4', COCOSAI_MAX_MEMORY_MIB: '1024' });
  });
  afterEach(() => driven.close());
  const create = (wishes: Partial<typeof request>) =>
    driven.manager.control.createEnclave({ ...request, ...wishes });

  it.each([
    ['another mode than the manager is set to', { mode: 'vm' }, 'INPUT_INVALID'],
    ['a mode that does not exist', { mode: 'cloud' }, 'INPUT_INVALID'],
    ['more vCPUs than the setting allows', { vcpus: 5 }, 'LIMIT_EXCEEDED'],
    ['more memory than the setting allows', { memoryMiB: 1025 }, 'LIMIT_EXCEEDED'],
  ])('a request for %s is refused, and no enclave is made', async (_, wishes, code) => {
    await expect(create(wishes)).rejects.toMatchObject({ code });
    expect(driven.manager.directory.list('enclave')).toEqual([]);
  });

  it('a request within the settings is accepted', async () => {
    const address = await create({ mode: 'process', vcpus: 4, memoryMiB: 1024 });
    expect(driven.manager.directory.enclave(address)).toMatchObject({ vcpus: 4, memoryMiB: 1024 });
  });
});

describe('a request that leaves size to the manager', () => {
  it('a request without a size gets the default, or the most that the settings allow where that is less', async () => {
    const driven = await driveManager({ COCOSAI_MAX_VCPUS: '1', COCOSAI_MAX_MEMORY_MIB: '512' });
    try {
      const address = await driven.manager.control.createEnclave(request);
      expect(driven.manager.directory.enclave(address)).toMatchObject({ vcpus: 1, memoryMiB: 512 });
    } finally {
      await driven.close();
    }
  });
});

describe('enclaves that a service ran', () => {
  let driven: DrivenManager;
  let service: ReferenceService;
  const state = (id: string | null) => driven.manager.directory.list(`enclave/${id}`)[0]?.state;
  beforeEach(async () => {
    vi.spyOn(EnclaveHost.prototype, 'shutDown').mockResolvedValue();
    driven = await driveManager();
    const file = path.join(driven.folder, 'journal.jsonl');
    service = await ReferenceService.open({
      ...{ address: parseAddress('tcp:127.0.0.1:0'), tls: NO_TLS, file, serviceId: 'reference' },
    });
    await driven.restart({ COCOSAI_SERVICE: service.address });
  });
  afterEach(async () => {
    await service.close();
    await driven.close();
    vi.restoreAllMocks();
  });

  const run = async (computation: string): Promise<string> => {
    await service.define(manifest(computation));
    await eventually(() => expect(service.computations.get(computation)?.isAnswered).toBe(true));
    const id = service.computations.get(computation)?.enclaveId;
    if (typeof id !== 'string') throw new Error(`${computation} was refused`);
    return id;
  };

  it('an enclave is removed when it has ended and its last event is acknowledged', async () => {
    const id = await run('c1');
    await service.stop('c1');
    await eventually(() => expect(service.computations.get('c1')?.stop).toBe('answered'));
    await eventually(() => expect(state(id)).toBeUndefined());
  });

  it('an enclave stays while its last event is not acknowledged, and is removed when the service comes back', async () => {
    const id = await run('c1');
    const { address } = service;
    const file = path.join(driven.folder, 'journal.jsonl');
    await service.close();
    driven.manager.control.requestStop(`enclave/${id}`);
    await eventually(() => expect(state(id)).toBe('stopped.settled'));
    service = await ReferenceService.open({
      ...{ address: parseAddress(address), tls: NO_TLS, file, serviceId: 'reference' },
    });
    await eventually(() => expect(state(id)).toBeUndefined());
  });

  it('a stop of a computation goes to its own enclave, also where a client made another of the same manifest', async () => {
    const copy = await driven.create('copy', manifest('c1'));
    const id = await run('c1');
    await service.stop('c1');
    await eventually(() => expect(service.computations.get('c1')?.stop).toBe('answered'));
    await eventually(() => expect(state(id)).toBeUndefined());
    expect(driven.manager.directory.view(copy).state).toBe('alive.ready');
  });

  it('an enclave that a client made stays although it has ended and the service has its events', async () => {
    const address = await driven.create('own', manifest('c9'));
    driven.manager.control.requestStop(address);
    driven.manager.directory.send(address, { type: 'vm.exited', code: 0, signal: null });
    await eventually(() => expect(driven.manager.directory.view(address).state).toBe('stopped.settled'));
    await eventually(() => expect(driven.manager['exporter']?.['outbox'].size).toBe(0));
    expect(driven.manager.directory.view(address).state).toBe('stopped.settled');
  });
});
