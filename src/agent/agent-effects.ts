import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { sha256Text } from '../crypto/digest.ts';
import { CocosError } from '../errors.ts';
import { type AttestationInput, attestationMachine } from '../machines/attestation.machine.ts';
import { computationMachine, type RunInput } from '../machines/computation.machine.ts';
import { type TransferInput, transferMachine } from '../machines/transfer.machine.ts';
import { signReceipt } from '../protocol/receipt.ts';
import { systemClock } from '../runtime/clock.ts';
import { asyncEffect, clockEffect, heldEffect } from '../runtime/effects.ts';
import type { Agent } from './agent.ts';
import { collectEvidence } from './evidence/evidence.ts';
import { runAlgorithm } from './run/sandbox.ts';

/** The effects of the agent's machine and of its children. */
export function agentEffects(agent: Agent, end: () => void) {
  const broken = (error: CocosError) => agent.request({ type: 'agent.broken', cause: error.toJSON() });
  const own = (run: () => Promise<void>) => asyncEffect<object>(run, broken);
  return {
    computation: computationMachine.provide({
      actors: { runAlgorithm: runEffect(agent), sealResult: sealEffect(agent), clock: clockEffect() },
    }),
    attestation: attestationMachine.provide({
      actors: { collect: collectEffect(agent), clock: clockEffect() },
    }),
    transfer: transferMachine.provide({
      actors: { check: checkEffect(agent), release: releaseEffect(agent), clock: clockEffect() },
    }),
    measure: own(() => agent.measure()),
    listen: own(() => agent.listen()),
    link: heldEffect<object>(() => agent.startLink(), broken),
    // The process ends, whatever could not be closed.
    shutDown: asyncEffect<object>(() => agent.shutDown().then(end), end),
  };
}

function collectEffect(agent: Agent) {
  return asyncEffect<AttestationInput>(
    async ({ sessionId, nonce }) => {
      const address = `attestation/${sessionId}`;
      const { manifestDigest } = agent.computation.context;
      const bytes = Buffer.from(nonce, 'hex');
      const evidence = await collectEvidence(agent, manifestDigest, bytes);
      agent.collected.set(address, evidence);
      agent.send(address, {
        type: 'evidence.collected',
        evidenceDigest: evidence.digest,
        atMs: systemClock.monotonic(),
      });
    },
    (error, { sessionId }) =>
      agent.send(`attestation/${sessionId}`, { type: 'evidence.failed', cause: error.toJSON() }),
  );
}

function checkEffect(agent: Agent) {
  return asyncEffect<TransferInput>(
    async ({ transferId, input }) => {
      const upload = agent.inputs.find(transferId);
      if (upload === undefined) throw new CocosError('TRANSFER_NOT_FOUND', 'The transfer has no bytes.');
      await agent.inputs.commit(upload);
      agent.send(`transfer/${transferId}`, { type: 'transfer.checked' });
      const { size, inflatedSize = size, digest } = upload;
      agent.send('computation', {
        type: 'input.committed',
        input,
        size: inflatedSize,
        digest,
        atMs: systemClock.monotonic(),
      });
    },
    (error, { transferId }) =>
      agent.send(`transfer/${transferId}`, { type: 'transfer.refused', cause: error.toJSON() }),
  );
}

function releaseEffect(agent: Agent) {
  return asyncEffect<TransferInput>(
    ({ transferId, input }) => agent.giveUp(transferId, input),
    () => undefined,
  );
}

function runEffect(agent: Agent) {
  return asyncEffect<RunInput>(
    async ({ manifest }, signal) => {
      if (manifest === null) throw new CocosError('INTERNAL', 'A run without a manifest.');
      const resultsDir = path.join(agent.workDir, 'results');
      await rm(resultsDir, { recursive: true, force: true });
      await mkdir(resultsDir, { recursive: true, mode: 0o700 });
      const startedMs = systemClock.monotonic();
      const exit = await runAlgorithm({
        kind: manifest.algorithm.kind,
        algorithmPath: agent.inputs.algorithmFile,
        datasets: new Map(manifest.datasets.map(({ name }) => [name, agent.inputs.committedFile(name)])),
        resultsDir,
        arguments: manifest.algorithm.arguments,
        limits: manifest.limits,
        onLog: (stream, line) => agent.logs.add(stream, line),
        signal,
      });
      for (const limit of exit.notEnforced)
        agent.logs.add('stderr', `cocos: not enforced on this machine: ${limit}`);
      // Inputs have done their duty; what is not there any more cannot leak.
      await agent.inputs.clear();
      if (exit.limit !== undefined) {
        throw new CocosError('ALGORITHM_LIMIT', `The algorithm exceeded its limit of ${exit.limit}.`, {
          details: { limit: exit.limit },
        });
      }
      if (exit.exitCode === null) {
        throw new CocosError('ALGORITHM_FAILED', `The algorithm was ended by ${exit.signal}.`);
      }
      const { exitCode, runtime } = exit;
      agent.send('computation', {
        type: 'run.exited',
        exitCode,
        runtime,
        startedMs,
        endedMs: systemClock.monotonic(),
      });
    },
    (error) => agent.send('computation', { type: 'run.failed', cause: error.toJSON() }),
  );
}

function sealEffect(agent: Agent) {
  return asyncEffect<RunInput>(
    async () => {
      const { manifest, manifestDigest, run } = agent.computation.context;
      if (manifest === null || manifestDigest === null || run === null) {
        throw new CocosError('INTERNAL', 'A result without a run.');
      }
      const resultsDir = path.join(agent.workDir, 'results');
      const { digest, size } = await agent.results.seal(resultsDir, manifest.id, manifestDigest);
      await rm(resultsDir, { recursive: true, force: true });
      const claims = agent.claims(manifestDigest);
      agent.signedReceipt = signReceipt(
        {
          version: 1,
          computationId: manifest.id,
          manifestDigest,
          algorithmDigest: manifest.algorithm.digest,
          datasets: manifest.datasets.map((dataset) => ({ name: dataset.name, digest: dataset.digest })),
          resultDigest: digest,
          resultSize: size,
          evidenceDigest: sha256Text(claims),
          platform: agent.reportProvider.platform,
          runtime: run.runtime,
          exitCode: run.exitCode,
          startedAt: new Date(run.startedMs).toISOString(),
          endedAt: new Date(run.endedMs).toISOString(),
        },
        agent.identity.signing.secretKey,
      );
      agent.send('computation', { type: 'result.sealed', digest, size });
    },
    (error) => agent.send('computation', { type: 'run.failed', cause: error.toJSON() }),
  );
}
