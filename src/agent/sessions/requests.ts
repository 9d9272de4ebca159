import { CocosError } from '../../errors.ts';
import { sealContentKey } from '../../protocol/result.ts';
import { DEFAULT_SEGMENT_SIZE, MAX_SEGMENT_SIZE, MIN_SEGMENT_SIZE } from '../../protocol/segments.ts';
import type { ResultOpened, SealedRequest, TransferFinished, TransferOpened } from '../../rpc/sealed.ts';
import { systemClock } from '../../runtime/clock.ts';

import type { Agent } from '../agent.ts';
import type { Upload } from '../transfers/input-store.ts';
import type { ParticipantService } from './participant-service.ts';
import { expectedDigest, type Session } from './sessions.ts';

/** What each sealed request does. Roles were checked when the session was opened; parts are checked here. */
export async function answerRequest(
  agent: Agent,
  service: ParticipantService,
  session: Session,
  request: SealedRequest,
): Promise<unknown> {
  switch (request.method) {
    case 'status':
      return agent.status();
    case 'transfer.open':
      return openTransfer(agent, service, session, request);
    case 'transfer.finish':
      return finishTransfer(agent, session, request.transferId);
    case 'transfer.abort':
      ownTransfer(agent, session, request.transferId);
      agent.sendLegal(`transfer/${request.transferId}`, { type: 'transfer.abort' });
      return null;
    case 'run.start':
      agent.sendLegal('computation', {
        type: 'run.requested',
        by: session.participant,
        atMs: systemClock.monotonic(),
      });
      return agent.status();
    case 'computation.stop':
      if (!agent.computation.context.manifest?.stop.includes(session.participant)) {
        throw new CocosError(
          'KEY_NOT_IN_MANIFEST',
          'The manifest does not let this key stop the computation.',
        );
      }
      agent.sendLegal('computation', { type: 'computation.stop', by: session.participant });
      return agent.status();
    case 'result.open':
      return openResult(agent, service, session);
    case 'result.confirm':
      requireConsumer(session);
      agent.send('computation', { type: 'result.delivered', consumer: session.participant });
      return null;
    case 'session.close':
      service.endSession(session);
      return null;
  }
}

async function openTransfer(
  agent: Agent,
  service: ParticipantService,
  session: Session,
  request: Extract<SealedRequest, { method: 'transfer.open' }>,
): Promise<TransferOpened> {
  const { manifest } = agent.computation.context;
  if (manifest === null) throw new CocosError('INPUT_NOT_EXPECTED', 'The enclave has no manifest yet.');
  const { input, size, inflatedSize, digest } = request;
  const expected = expectedDigest(manifest, session, input);
  if (digest !== expected) {
    throw new CocosError('TRANSFER_DIGEST_MISMATCH', `The manifest asks for ${expected} as ${input}.`, {
      details: { expected, found: digest },
    });
  }
  const under = agent.inputs.ofInput(input);
  // A sender that comes back goes on, also where the end of its last stream was not noticed yet.
  const isSame = under?.participant === session.participant && under.size === size;
  if (under !== undefined && isSame && under.inflatedSize === inflatedSize) {
    agent.send(`transfer/${under.id}`, { type: 'transfer.broken', atMs: systemClock.monotonic() });
    agent.inputs.resume(under, session);
    return openedTransfer(service, session, under);
  }
  const segmentSize = clamp(request.segmentSize ?? DEFAULT_SEGMENT_SIZE);
  const upload = await agent.beginUpload(session, { input, size, inflatedSize, digest, segmentSize });
  return openedTransfer(service, session, upload);
}

/** The sender says what it would like; the limits of the stream bound it. */
function clamp(segmentSize: number): number {
  return Math.min(Math.max(segmentSize, MIN_SEGMENT_SIZE), MAX_SEGMENT_SIZE);
}

function openedTransfer(service: ParticipantService, session: Session, upload: Upload): TransferOpened {
  const { id, attempt } = upload;
  return {
    transferId: id,
    aead: session.aead,
    segmentSize: upload.segmentSize,
    firstSegment: upload.opener.nextIndex,
    attempt,
    ticket: service.tickets.issue(session.id, { kind: 'upload', transferId: id, attempt }),
  };
}

async function finishTransfer(agent: Agent, session: Session, transferId: string): Promise<TransferFinished> {
  const { input, digest } = ownTransfer(agent, session, transferId);
  const settled = await agent.transferSettled(transferId);
  if (settled.cause === null) return { digest, size: agent.status().inputs[input]?.size ?? 0 };
  throw new CocosError(settled.cause.code, settled.cause.message);
}

function ownTransfer(agent: Agent, session: Session, transferId: string) {
  const transfer = agent.transfer(transferId);
  if (transfer === null || transfer.context.participant !== session.participant) {
    throw new CocosError('TRANSFER_NOT_FOUND', 'The transfer is not known here.');
  }
  return transfer.context;
}

function openResult(agent: Agent, service: ParticipantService, session: Session): ResultOpened {
  const consumer = requireConsumer(session);
  const { manifest, manifestDigest, cause } = agent.computation.context;
  if (cause !== null)
    throw new CocosError('COMPUTATION_FAILED', `${cause.code}: ${cause.message}`, { details: { cause } });
  const sealed = agent.results.get();
  const keys = manifest?.consumers.find((each) => each.signing === consumer);
  const receipt = agent.receipt();
  if (manifest === null || manifestDigest === null || keys === undefined || receipt === null) {
    throw new CocosError('RESULT_NOT_READY', 'The computation has no result yet.');
  }
  return {
    computationId: manifest.id,
    ticket: service.tickets.issue(session.id, { kind: 'download' }),
    aead: agent.results.aead,
    segmentSize: sealed.segmentSize,
    segments: sealed.segments,
    size: sealed.size,
    sealedKey: sealContentKey(keys.kem, keys.signing, manifestDigest, sealed.contentKey),
    receipt: receipt.bytes,
    signature: receipt.signature,
    agentSigningKey: agent.identity.signing.publicKey,
  };
}

function requireConsumer(session: Session): string {
  if (session.role !== 'consumer') {
    throw new CocosError('KEY_NOT_IN_MANIFEST', 'Only consumers of the manifest may have the result.');
  }
  return session.participant;
}
