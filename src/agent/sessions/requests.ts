import { CocosError } from '../../errors.ts';
import { sealContentKey } from '../../protocol/result.ts';
import type { ResultOpened, SealedRequest } from '../../rpc/sealed.ts';
import { systemClock } from '../../runtime/clock.ts';
import type { ComputationPort, ResultPort, TransferPort } from '../ports.ts';
import type { Session } from './sessions.ts';

/** What the requests of a session work on. */
export interface RequestContext {
  readonly computation: ComputationPort;
  readonly transfers: TransferPort;
  readonly results: ResultPort;
  readonly agentSigningKey: Uint8Array;
  /** Issues a one-time ticket for the bytes of the result. */
  readonly issueDownload: () => Uint8Array;
  /** Ends the session after this answer. */
  readonly closeSession: () => void;
}

/** Executes one sealed request. Roles were checked when the session opened; the rights of each request are checked here. */
export async function answerRequest(
  context: RequestContext,
  session: Session,
  request: SealedRequest,
): Promise<unknown> {
  const { computation, transfers } = context;
  switch (request.method) {
    case 'status':
      return computation.status();
    case 'transfer.open':
      return transfers.open(session, request);
    case 'transfer.finish':
      return transfers.finish(session, request.transferId);
    case 'transfer.abort':
      transfers.abort(session, request.transferId);
      return null;
    case 'run.start':
      computation.sendLegal({
        type: 'run.requested',
        by: session.participant,
        atMs: systemClock.monotonic(),
      });
      return computation.status();
    case 'computation.stop':
      if (!computation.context.manifest?.stop.includes(session.participant)) {
        throw new CocosError(
          'KEY_NOT_IN_MANIFEST',
          "This key is not in the manifest's 'stop' list and cannot stop the computation.",
        );
      }
      computation.sendLegal({ type: 'computation.stop', by: session.participant });
      return computation.status();
    case 'result.open':
      return openResult(context, session);
    case 'result.confirm':
      requireConsumer(session);
      computation.send({ type: 'result.delivered', consumer: session.participant });
      return null;
    case 'session.close':
      context.closeSession();
      return null;
  }
}

function openResult(context: RequestContext, session: Session): ResultOpened {
  const consumer = requireConsumer(session);
  const { manifest, manifestDigest, cause } = context.computation.context;
  if (cause !== null)
    throw new CocosError('COMPUTATION_FAILED', `There is no result. ${cause.message}`, {
      details: { cause: cause.code, ...cause.details },
    });
  const { results } = context;
  const sealed = results.get();
  const { receipt } = results;
  const keys = manifest?.consumers.find((each) => each.signing === consumer);
  if (manifest === null || manifestDigest === null || keys === undefined || receipt === null) {
    throw new CocosError(
      'RESULT_NOT_READY',
      'The computation has no result yet; follow it until it is ready.',
    );
  }
  return {
    computationId: manifest.id,
    ticket: context.issueDownload(),
    aead: results.aead,
    segmentSize: sealed.segmentSize,
    segments: sealed.segments,
    size: sealed.size,
    sealedKey: sealContentKey(keys.kem, keys.signing, manifestDigest, sealed.contentKey),
    receipt: receipt.bytes,
    signature: receipt.signature,
    agentSigningKey: context.agentSigningKey,
  };
}

function requireConsumer(session: Session): string {
  if (session.role !== 'consumer') {
    throw new CocosError(
      'KEY_NOT_IN_MANIFEST',
      `Only a consumer of the manifest may have the result; this session has the role '${session.role}'.`,
    );
  }
  return session.participant;
}
