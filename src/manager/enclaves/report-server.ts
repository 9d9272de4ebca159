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

interface ReportServerOptions {
  readonly launchLog: LaunchLog;
  readonly measurement: Uint8Array;
  /** SHA-256 of the manifest when it was known at launch, else 32 zero bytes. */
  readonly hostData: Uint8Array;
  /** Stands for the hardware; null on a host that has it. */
  readonly processor: SecurityProcessor | null;
}

/** Answers a guest's connection to the report port. */
export function reportServer(options: ReportServerOptions): (stream: Duplex) => void {
  return (stream) => {
    stream.on('error', () => stream.destroy());
    answer(stream, options).then(
      () => stream.end(),
      () => stream.destroy(),
    );
  };
}

async function answer(stream: Duplex, options: ReportServerOptions): Promise<void> {
  const request = ReportRequest.safeParse(await readMessage(stream));
  if (!request.success) throw new CocosError('LINK_PROTOCOL', 'A report request is malformed.');
  let reply: ReportAnswer;
  try {
    reply = makeReport(request.data, options);
  } catch (thrown) {
    reply = { ok: false, error: CocosError.from(thrown).toJSON() };
  }
  writeMessage(stream, reply);
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
