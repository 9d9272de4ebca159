import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { renameSync } from 'node:fs';
import net from 'node:net';
import { z } from 'zod';
import { readManifest } from '../../../src/cli/manifest-file.ts';
import { AgentClient } from '../../../src/cli/transfer/agent-client.ts';
import { readTrust } from '../../../src/cli/trust/trust.ts';
import { EnclaveVerifier } from '../../../src/cli/trust/verifier.ts';
import { PORTS } from '../../../src/link/transport/transport.ts';
import { ComputationStatus } from '../../../src/rpc/sealed.ts';
import { collect } from '../../harness/system.ts';
import { PROGRAMS } from '../programs.ts';
import {
  inWorld,
  type LiveParties,
  manifestOf,
  type PublishedStep,
  partiesOf,
  type World,
  withManifest,
} from '../world.ts';

const SHORT = {
  COCOSAI_COLLECT_SECONDS: '2',
  COCOSAI_EVIDENCE_SECONDS: '4',
  COCOSAI_SESSION_SECONDS: '4',
};

/** Sessions that are used, closed and forgotten, reports that do not come, and verifiers that go on. */
export function attestations(): Promise<unknown> {
  return inWorld(SHORT, async (world) => {
    const parties = await partiesOf(world, PROGRAMS.good);
    await sessions(world, parties);
    await reports(world, parties);
    await verifiers(world, parties);
  });
}

async function sessions(world: World, parties: LiveParties): Promise<void> {
  const enclave = await world.ready('sessions', parties.manifest);
  const unused = await challenge(world, enclave);
  await unused.asked;
  const { session, close } = await world.session(enclave, parties, 'provider', 'dataset');
  await new Promise((resolve) => setTimeout(resolve, 500));
  await session.call({ method: 'status' }, ComputationStatus);
  await world.publishes('of a used session', isOf(enclave, 'session.used'));
  await session.close();
  close();
  const idle = await world.session(enclave, parties, 'provider', 'dataset');
  await world.publishes(
    'of evidence that expired',
    (step) => isOf(enclave, 'deadline.reached')(step) && step.from === 'evidenced',
  );
  await world.publishes(
    'of a session that expired',
    (step) => isOf(enclave, 'deadline.reached')(step) && step.from === 'inSession',
  );
  idle.close();
}

/** A host that gives no report, and one that never answers. */
async function reports(world: World, parties: LiveParties): Promise<void> {
  const enclave = await world.ready('reports', parties.manifest);
  const report = world.portFile(enclave, PORTS.report);
  renameSync(report, `${report}.away`);
  const refused = await challenge(world, enclave);
  await refused.asked;
  await world.publishes('of evidence that failed', isOf(enclave, 'evidence.failed'));
  const taken: net.Socket[] = [];
  const silent = net.createServer((socket) => taken.push(socket)).listen(report);
  await once(silent, 'listening');
  const late = await challenge(world, enclave);
  await late.asked;
  await world.publishes('of evidence that is late', isOf(enclave, 'deadline.reached'));
  for (const socket of taken) socket.destroy();
  silent.close();
}

async function verifiers(world: World, parties: LiveParties): Promise<void> {
  const enclave = await world.ready('watched', parties.manifest);
  const trust = ['--policy', parties.policy, '--reference', parties.reference];
  const { provider } = manifestOf(parties).algorithm;
  const other = withManifest(parties, 'other', { start: [provider] });
  const watch = (manifest: string) =>
    world.system.spawnCli(
      'attestation',
      'watch',
      'watched',
      '--every',
      '1',
      '--manifest',
      manifest,
      ...trust,
    );
  const { code } = await collect(watch(other.manifest));
  if (code !== 2) throw new Error(`a watch of another manifest ended with ${code}`);
  const watching = watch(parties.manifest);
  const ended = once(watching, 'exit');
  const isBy = (from: string) => (step: { pid: number; event: string; from: string }) =>
    step.pid === watching.pid && step.event === 'verifier.challenge' && step.from === from;
  await world.traces('a verdict that was made anew', isBy('stale'));
  await challengeTrusted(world, enclave, parties);
  const report = world.portFile(enclave, PORTS.report);
  renameSync(report, `${report}.away`);
  await world.traces('a challenge after one that was not answered', isBy('unanswered'));
  watching.kill();
  await ended;
}

/** Challenges an enclave again before its verdict is stale, which no command does. */
async function challengeTrusted(world: World, enclave: string, parties: LiveParties): Promise<void> {
  const agent = await AgentClient.open(await relayOf(world, enclave), {});
  const { policy, reference } = parties;
  const trust = await readTrust({ policy, reference }, world.system.environment);
  const verifier = new EnclaveVerifier(agent, trust, await readManifest(parties.manifest));
  try {
    await verifier.verify();
    await verifier.verify();
  } finally {
    verifier.close();
    await agent.close();
  }
}

async function relayOf(world: World, enclave: string): Promise<string> {
  return z.string().parse((await world.control.get(enclave)).context['relayAddress']);
}

function isOf(enclave: string, event: string) {
  return (step: PublishedStep) => step.event === event && step.address.startsWith(`${enclave}/attestation/`);
}

/** Asks an agent for evidence, and does nothing with it. */
async function challenge(world: World, enclave: string): Promise<{ asked: Promise<void> }> {
  const agent = await AgentClient.open(await relayOf(world, enclave), {});
  const asked = agent.evidence(randomBytes(32)).then(
    () => agent.close(),
    () => agent.close(),
  );
  return { asked };
}
