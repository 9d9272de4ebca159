import type { Duplex } from 'node:stream';
import type { SecurityProcessor } from '../../attestation/emulated/processor.ts';
import type { LaunchLog } from '../../attestation/evidence/launch-log.ts';
import { CocosError } from '../../errors.ts';
import {
  type ReportAnswer,
  ReportRequest,
  readMessage,
  writeMessage,
} from '../../link/wire/report-protocol.ts';
import { TimeShare } from '../../runtime/time-share.ts';

interface ReportServerOptions {
  /** Null where the hardware reports registers in its place. */
  readonly launchLog: LaunchLog | null;
  readonly measurement: Uint8Array;
  /** SHA-256 of the manifest when it was known at launch, else 32 zero bytes. */
  readonly hostData: Uint8Array;
  /** Stands for the hardware; null on a host that has it. */
  readonly processor: SecurityProcessor | null;
}

/** Connections of one guest that may wait for their answers at once: twice as many as an agent has attestations. */
const CONNECTION_LIMIT = 512;
const MAX_REQUEST_BYTES = 1024;

/** Answers a guest's connections to the report port. A guest that asks too much waits, and the others do not. */
export function reportServer(options: ReportServerOptions): (stream: Duplex) => void {
  const share = new TimeShare(performance.now());
  let open = 0;
  let turn = Promise.resolve();
  /** Makes a report when the guest has a share of the manager's time left. */
  const inTurn = (request: ReportRequest): Promise<ReportAnswer> => {
    const answered = turn.then(() => makeAnswer(request, options));
    turn = answered.then(({ costMs }) => rest(share.charge(costMs, performance.now())));
    return answered.then(({ reply }) => reply);
  };
  return (stream) => {
    stream.on('error', () => stream.destroy());
    if (open >= CONNECTION_LIMIT) return void stream.destroy();
    open += 1;
    stream.once('close', () => {
      open -= 1;
    });
    answer(stream, inTurn).then(
      () => stream.end(),
      () => stream.destroy(),
    );
  };
}

async function answer(
  stream: Duplex,
  inTurn: (request: ReportRequest) => Promise<ReportAnswer>,
): Promise<void> {
  const request = ReportRequest.safeParse(await readMessage(stream, MAX_REQUEST_BYTES));
  if (!request.success) throw new CocosError('LINK_PROTOCOL', 'A report request is malformed.');
  writeMessage(stream, await inTurn(request.data));
}

function makeAnswer(request: ReportRequest, options: ReportServerOptions) {
  const begin = performance.now();
  let reply: ReportAnswer;
  try {
    reply = makeReport(request, options);
  } catch (thrown) {
    reply = { ok: false, error: CocosError.from(thrown).toJSON() };
  }
  return { reply, costMs: performance.now() - begin };
}

function rest(ms: number): Promise<void> {
  return ms === 0 ? Promise.resolve() : new Promise((resolve) => setTimeout(resolve, ms));
}

function makeReport(request: ReportRequest, options: ReportServerOptions): ReportAnswer {
  const { launchLog, measurement, hostData, processor } = options;
  if ('derivedKey' in request) {
    if (processor === null) throw new CocosError('EVIDENCE_UNAVAILABLE', 'The hardware derives the key.');
    return { ok: true, derivedKey: processor.derivedKey({ measurement, hostData }) };
  }
  const { reportData } = request;
  if (reportData === null) return { ok: true, report: null, certificates: [], launchLog };
  if (processor === null)
    throw new CocosError('EVIDENCE_UNAVAILABLE', 'This host emulates no security processor.');
  if (reportData.length !== 64) throw new CocosError('INPUT_INVALID', 'REPORT_DATA has 64 bytes.');
  const report = processor.report({ reportData, measurement, hostData });
  return { ok: true, report, certificates: [...processor.certificates], launchLog };
}
