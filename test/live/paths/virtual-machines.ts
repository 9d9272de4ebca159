import path from 'node:path';
import { ROOT, restartManager, succeeded } from '../../harness/system.ts';
import { PROGRAMS } from '../programs.ts';
import { inWorld, type PublishedStep, partiesOf } from '../world.ts';

const VM_REFERENCE = path.join(ROOT, 'build/eos/reference-values.json');

/** A short set of the paths, gone by a manager and its agents in virtual machines. */
export function walkVirtualMachines(): Promise<readonly PublishedStep[]> {
  return inWorld({ COCOSAI_MODE: 'vm' }, async (world) => {
    const parties = await partiesOf(world, PROGRAMS.good, { reference: VM_REFERENCE });
    const job = await world.create('job', parties.manifest);
    const killed = await world.create('killed', null);
    await Promise.all([world.reaches(job, /^alive\.ready$/), world.reaches(killed, /^alive\.ready$/)]);
    const { system } = world;
    const provider = parties.trust('provider');
    succeeded(await system.cli('algo', 'job', parties.file('algorithm'), ...provider));
    succeeded(await system.cli('data', 'job', 'one', parties.file('one'), ...provider));
    const out = system.file('job.cocos');
    succeeded(await system.cli('run', 'job', ...parties.trust('consumer')));
    succeeded(await system.cli('result', 'get', 'job', '--out', out, ...parties.trust('consumer')));
    process.kill(await world.pid(killed), 'SIGSTOP');
    await world.reaches(killed, /^alive\.unreachable$/);
    process.kill(await world.pid(killed), 'SIGCONT');
    await world.reaches(killed, /^alive\.ready$/);
    process.kill(await world.pid(killed), 'SIGKILL');
    await world.reaches(killed, /^failed\.settled$/);
    await restartManager(system);
    await world.reaches(job, /^alive\.ready$/);
    await world.control.send(job, { type: 'enclave.stop' });
    await world.reaches(job, /^stopped\.settled$/);
  });
}
