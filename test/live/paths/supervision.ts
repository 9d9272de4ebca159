import { rmSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { PORTS } from '../../../src/link/transport/transport.ts';
import { succeeded } from '../../harness/system.ts';
import { ChangingAgent, REFUSED_SECONDS, refuseTimers } from '../agents.ts';
import { PROGRAMS } from '../programs.ts';
import { inWorld, manifestOf, partiesOf, type World, withManifest } from '../world.ts';

/** Machines that throw, since the runtime under them refuses what they need: their parents take it. */
export async function supervision(): Promise<void> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'cocos-f-'));
  const fault = path.join(folder, 'fault');
  const preload = path.join(folder, 'preload.cjs');
  writeFileSync(preload, refuseTimers(fault));
  const agent = new ChangingAgent(folder);
  agent.becomeReal(refuseTimers(fault));
  const settings = {
    COCOSAI_AGENT: agent.program,
    COCOSAI_PREPARE_SECONDS: String(REFUSED_SECONDS),
    COCOSAI_TRANSFER_SECONDS: String(REFUSED_SECONDS),
    NODE_OPTIONS: `--require ${preload}`,
  };
  const broken = {
    begin: () => writeFileSync(fault, ''),
    end: () => rmSync(fault, { force: true }),
  };
  try {
    await inWorld(settings, async (world) => {
      await enclavesThatThrow(world, broken);
      await childrenOfAgents(world, broken, agent.reference());
      await agentThatCannotListen(world, agent);
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

interface Fault {
  begin(): void;
  end(): void;
}

async function enclavesThatThrow(world: World, fault: Fault): Promise<void> {
  const failures = (address: string) => (step: { machine: string; event: string }) =>
    step.machine === 'manager' && step.event === `xstate.error.actor.${address}`;
  fault.begin();
  const once = await world.create('once', null);
  await world.traces('an enclave that threw', failures(once));
  fault.end();
  await world.reaches(once, /^alive\.ready$/);
  fault.begin();
  const often = await world.create('often', null);
  const isGivenUp = (step: { machine: string; event: string }) =>
    step.machine === 'manager' && step.event === 'child.settled';
  await world.traces('an enclave that was given up', isGivenUp);
  fault.end();
  await world.control.remove(once);
  if (await world.control.get(often).catch(() => null))
    throw new Error('an enclave is there that was given up');
}

async function childrenOfAgents(world: World, fault: Fault, reference: string): Promise<void> {
  const parties = await partiesOf(world, PROGRAMS.good, { reference });
  // With the grace after the limit: about the time that is refused.
  const limited = withManifest(parties, 'limited', {
    limits: { seconds: REFUSED_SECONDS - 30 },
    start: [manifestOf(parties).algorithm.provider],
  });
  const address = await world.ready('agent', limited.manifest);
  const send = (input: readonly string[]) => world.system.cli(...input, ...limited.trust('provider'));
  const algorithm = ['algo', 'agent', limited.file('algorithm')];
  fault.begin();
  const refused = await send(algorithm);
  if (refused.code === 0) throw new Error('an input was taken in whose transfer had thrown');
  fault.end();
  // The sender begins anew.
  succeeded(await send(algorithm));
  succeeded(await send(['data', 'agent', 'one', limited.file('one')]));
  fault.begin();
  await send(['run', 'agent']);
  await world.reaches(address, /^failed\.settled$/);
  fault.end();
}

/** What is in the way of its socket is no socket. */
async function agentThatCannotListen(world: World, agent: ChangingAgent): Promise<void> {
  agent.becomeReal(
    `require('node:fs').mkdirSync(process.env.COCOS_SOCKETS + '/${PORTS.participants}.sock/x', { recursive: true });`,
  );
  await world.reaches(await world.create('deaf', null), /^failed\.settled$/);
}
