import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { removeTree } from '../archive/remove-tree.ts';
import { sha256Text } from '../crypto/digest.ts';
import { CocosError } from '../errors.ts';
import type { AgentEvent } from '../machines/agent.machine.ts';
import { type AttestationInput, attestationMachine } from '../machines/attestation.machine.ts';
import { computationMachine, type RunInput } from '../machines/computation.machine.ts';
import type { Manifest } from '../machines/manifest.ts';
import { publicCause } from '../machines/public-cause.ts';
import { type TransferInput, transferMachine } from '../machines/transfer.machine.ts';
import { signReceipt } from '../protocol/receipt.ts';
import { systemClock } from '../runtime/clock.ts';
import { asyncEffect, clockEffect, heldEffect } from '../runtime/effects.ts';
import type { Attestations } from './evidence/attestations.ts';
import { collectEvidence } from './evidence/evidence.ts';
import type { ComputationPort, InputsPort, LogPort, PlatformPort } from './ports.ts';
import { openDatasets } from './run/datasets.ts';
import { awaitPublishedEnd, publishedExitCode, publishedFailure } from './run/disclosure.ts';
import { OmittedResults } from './run/omitted-results.ts';
import type { ResultStore } from './run/result-store.ts';
import { type RunOutcome, runAlgorithm } from './run/sandbox.ts';
import type { UploadRegistry } from './transfers/upload-registry.ts';

/** What the agent does about itself, as its machine asks for it. */
export interface LifecyclePort {
  detectPlatform(): Promise<void>;
  /** Opens the participants' service. */
  listen(): Promise<void>;
  /** Starts the link to the manager; returns what closes it. */
  startLink(): () => void;
  /** Closes everything and deletes all inputs, results and keys. */
  shutDown(): Promise<void>;
  /** Ends the process. */
  exit(): void;
}

/** What the effects work on. */
export interface EffectParts {
  readonly notify: (event: AgentEvent) => void;
  readonly lifecycle: LifecyclePort;
  readonly computation: ComputationPort;
  readonly attestations: Pick<Attestations, 'deliver' | 'fail'>;
  readonly platform: PlatformPort;
  readonly transfers: Pick<UploadRegistry, 'commit' | 'refuse' | 'abandon'>;
  readonly inputs: InputsPort;
  readonly results: Pick<ResultStore, 'seal' | 'receipt'>;
  readonly logs: LogPort;
  readonly workDir: string;
  /** Whether only this agent writes to the file system of that folder. */
  readonly ownsFileSystem: boolean;
  /** Ed25519 secret key that signs receipts. */
  readonly signingKey: Uint8Array;
}

/** The effects of the agent's machine and of its children. */
export function agentEffects(parts: EffectParts) {
  const { lifecycle, notify } = parts;
  const fail = (error: CocosError) => notify({ type: 'agent.failed', cause: publicCause(error) });
  const step = (run: () => Promise<void>, done: AgentEvent) =>
    asyncEffect<object>(async () => {
      await run();
      notify(done);
    }, fail);
  return {
    computation: computationMachine.provide({
      actors: { runAlgorithm: runEffect(parts), sealResult: sealEffect(parts), clock: clockEffect() },
    }),
    attestation: attestationMachine.provide({
      actors: { collect: collectEffect(parts), clock: clockEffect() },
    }),
    transfer: transferMachine.provide({
      actors: { check: checkEffect(parts), release: releaseEffect(parts), clock: clockEffect() },
    }),
    measure: step(() => lifecycle.detectPlatform(), { type: 'agent.measured' }),
    listen: step(() => lifecycle.listen(), { type: 'agent.listening' }),
    link: heldEffect<object>(() => lifecycle.startLink(), fail),
    // The process ends even if something could not be closed.
    shutDown: asyncEffect<object>(() => lifecycle.shutDown().then(lifecycle.exit), lifecycle.exit),
  };
}

function collectEffect({
  attestations,
  computation,
  platform,
}: Pick<EffectParts, 'attestations' | 'computation' | 'platform'>) {
  return asyncEffect<AttestationInput>(
    async ({ sessionId, nonce }) => {
      const { manifestDigest } = computation.context;
      const bytes = Buffer.from(nonce, 'hex');
      attestations.deliver(sessionId, await collectEvidence(platform, manifestDigest, bytes));
    },
    (error, { sessionId }) => attestations.fail(sessionId, error),
  );
}

function checkEffect({ transfers }: Pick<EffectParts, 'transfers'>) {
  return asyncEffect<TransferInput>(
    ({ transferId }) => transfers.commit(transferId),
    (error, { transferId }) => transfers.refuse(transferId, error),
  );
}

function releaseEffect({ transfers }: Pick<EffectParts, 'transfers'>) {
  return asyncEffect<TransferInput>(
    ({ transferId }) => transfers.abandon(transferId),
    () => undefined,
  );
}

function runEffect(
  parts: Pick<EffectParts, 'computation' | 'inputs' | 'logs' | 'workDir' | 'ownsFileSystem'>,
) {
  const { computation } = parts;
  return asyncEffect<RunInput>(
    async ({ manifest }, signal) => {
      if (manifest === null) throw new CocosError('INTERNAL', 'The run started without a manifest.');
      const resultsDir = resultsDirOf(parts.workDir);
      await removeTree(resultsDir);
      await mkdir(resultsDir, { recursive: true, mode: 0o700 });
      const { disclosure } = manifest;
      const limitMs = manifest.limits.seconds * 1_000;
      const startedMs = systemClock.monotonic();
      const whenPublished = () => awaitPublishedEnd(startedMs, limitMs, disclosure, signal);
      const outcome = await execute(parts, manifest, resultsDir, signal).catch(async (thrown: unknown) => {
        await whenPublished();
        throw thrown;
      });
      const endedMs = await whenPublished();
      const { failure, runtime } = outcome;
      if (failure !== null) {
        // The host must not see whether the algorithm exited or was ended.
        if (disclosure?.exitCode !== 'binary') throw failure;
        logFailure(parts.logs, failure);
      }
      const exitCode = publishedExitCode(outcome.exitCode, disclosure);
      computation.send({ type: 'run.exited', exitCode, runtime, startedMs, endedMs });
    },
    (error) => failRun(parts, error),
  );
}

interface Outcome {
  readonly exitCode: number;
  readonly runtime: string;
  /** Why the algorithm was ended, if it did not exit itself. */
  readonly failure: CocosError | null;
}

/** Runs the algorithm and deletes the inputs. @throws CocosError as `openDatasets` and `runAlgorithm` */
async function execute(
  { inputs, logs, ownsFileSystem }: Pick<EffectParts, 'inputs' | 'logs' | 'ownsFileSystem'>,
  manifest: Manifest,
  resultsDir: string,
  signal: AbortSignal,
): Promise<Outcome> {
  const exit = await runAlgorithm({
    kind: manifest.algorithm.kind,
    algorithmPath: inputs.algorithmFile,
    datasets: await openDatasets(manifest.datasets, inputs, signal),
    resultsDir,
    ownsFileSystem,
    arguments: manifest.algorithm.arguments,
    limits: manifest.limits,
    onLog: (stream, line) => logs.add(stream, line),
    signal,
  });
  for (const limit of exit.notEnforced) {
    logs.add('stderr', `cocos: not enforced on this machine: ${limit}`);
  }
  // The run is over: deleted inputs cannot leak.
  await inputs.clear();
  const failure = failureOf(exit);
  if (failure === null && exit.exitCode !== 0) {
    logs.add('stderr', `cocos: the algorithm ended with exit code ${exit.exitCode}`);
  }
  return { exitCode: failure === null ? (exit.exitCode ?? 1) : 1, runtime: exit.runtime, failure };
}

function failureOf({ limit, exitCode, signal }: RunOutcome): CocosError | null {
  if (limit !== undefined) {
    return new CocosError('ALGORITHM_LIMIT', `The algorithm exceeded its limit of ${limit}.`, {
      details: { limit },
    });
  }
  if (exitCode !== null) return null;
  return new CocosError('ALGORITHM_FAILED', `The signal ${signal} ended the algorithm.`);
}

/** Reports why a run ended: in full to the consumers, and to everybody what the host may see. */
function failRun({ computation, logs }: Pick<EffectParts, 'computation' | 'logs'>, error: CocosError): void {
  logFailure(logs, error);
  const shown = publishedFailure(error, computation.context.manifest?.disclosure);
  computation.send({ type: 'run.failed', cause: publicCause(shown) });
}

function logFailure(logs: LogPort, { code, message }: CocosError): void {
  logs.add('stderr', `cocos: ${code}: ${message}`);
}

function sealEffect(
  parts: Pick<EffectParts, 'computation' | 'logs' | 'platform' | 'results' | 'signingKey' | 'workDir'>,
) {
  const { computation, platform, results } = parts;
  return asyncEffect<RunInput>(
    async (_input, signal) => {
      const { manifest, manifestDigest, run } = computation.context;
      if (manifest === null || manifestDigest === null || run === null) {
        throw new CocosError('INTERNAL', 'There is no completed run whose result could be sealed.');
      }
      const resultsDir = resultsDirOf(parts.workDir);
      const omitted = new OmittedResults(parts.logs);
      const startedMs = systemClock.monotonic();
      // How long sealing takes depends on the number of files, which the algorithm chooses.
      const whenPublished = () =>
        awaitPublishedEnd(startedMs, Number.POSITIVE_INFINITY, manifest.disclosure, signal);
      const seal = async () => {
        const sealed = await results.seal(
          resultsDir,
          manifest.id,
          manifestDigest,
          (entry) => omitted.add(entry),
          manifest.disclosure?.resultPadding,
        );
        await removeTree(resultsDir);
        return sealed;
      };
      // A failure of any step is published when its end would be, so that its time says nothing either.
      const { digest, sealedDigest, size, paddingBytes } = await seal().catch(async (thrown: unknown) => {
        await whenPublished();
        throw thrown;
      });
      omitted.end();
      const claims = platform.claims(manifestDigest);
      results.receipt = signReceipt(
        {
          version: 1,
          computationId: manifest.id,
          manifestDigest,
          algorithmDigest: manifest.algorithm.digest,
          datasets: manifest.datasets.map((dataset) => ({ name: dataset.name, digest: dataset.digest })),
          resultDigest: digest,
          resultSize: size,
          ...(paddingBytes > 0 ? { paddingBytes } : {}),
          ...(omitted.count > 0 ? { omittedEntries: omitted.count } : {}),
          sealedDigest,
          evidenceDigest: sha256Text(claims),
          platform: platform.reportProvider.platform,
          runtime: run.runtime,
          exitCode: run.exitCode,
          startedAt: new Date(run.startedMs).toISOString(),
          endedAt: new Date(run.endedMs).toISOString(),
        },
        parts.signingKey,
      );
      await whenPublished();
      computation.send({ type: 'result.sealed', digest: sealedDigest, size });
    },
    (error) => failRun(parts, error),
  );
}

/** Folder that the algorithm writes its results to. */
export function resultsDirOf(workDir: string): string {
  return path.join(workDir, 'results');
}
