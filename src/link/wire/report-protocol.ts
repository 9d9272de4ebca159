import type { Duplex } from 'node:stream';
import { z } from 'zod';
import { CocosError } from '../../errors.ts';
import { Cause } from '../../machines/common.ts';
import { LengthPrefixReader, prefixLength } from './frame.ts';
import { decodeMsgpack, encodeMsgpack } from './msgpack.ts';

/**
 * Requests of an agent to its host for evidence: always the launch log, and a report if the platform is emulated. Each
 * connection to the report port carries one request and one answer, as length-prefixed msgpack.
 */

export const MAX_REPORT_MESSAGE = 256 * 1024;
/** Values that the maps and lists of a message may hold together; the launch log has the most. */
const MAX_REPORT_VALUES = 4_096;
const REPORT_TIMEOUT_MS = 15_000;

const Bytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array, 'must be bytes');

export const ReportRequest = z.union([
  z.strictObject({
    /** REPORT_DATA, 64 bytes; null requests the launch log only. */
    reportData: Bytes.nullable(),
  }),
  /** Requests the secret that the emulated platform derives for this guest. */
  z.strictObject({ derivedKey: z.literal(true) }),
]);
export type ReportRequest = z.infer<typeof ReportRequest>;

export const ReportAnswer = z.union([
  z.strictObject({
    ok: z.literal(true),
    report: Bytes.nullable(),
    certificates: z.array(Bytes).max(8),
    launchLog: z.unknown(),
  }),
  z.strictObject({ ok: z.literal(true), derivedKey: Bytes }),
  z.strictObject({ ok: z.literal(false), error: Cause }),
]);
export type ReportAnswer = z.infer<typeof ReportAnswer>;

export function writeMessage(stream: Duplex, value: unknown): void {
  stream.write(prefixLength(encodeMsgpack(value), MAX_REPORT_MESSAGE));
}

/** The next message of a stream. @throws CocosError LINK_LOST, FRAME_INVALID or DEADLINE_EXCEEDED. */
export function readMessage(stream: Duplex, maxBytes = MAX_REPORT_MESSAGE): Promise<unknown> {
  const reader = new LengthPrefixReader(maxBytes);
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () =>
        settle(() =>
          reject(
            new CocosError(
              'DEADLINE_EXCEEDED',
              `The peer did not answer within ${REPORT_TIMEOUT_MS} ms; try again.`,
            ),
          ),
        ),
      REPORT_TIMEOUT_MS,
    );
    const settle = (end: () => void) => {
      clearTimeout(timer);
      stream.off('data', onData).off('error', onEnd).off('close', onEnd);
      end();
    };
    const onEnd = () =>
      settle(() => reject(new CocosError('LINK_LOST', 'The peer closed the stream without an answer.')));
    const onData = (chunk: Buffer) => {
      try {
        for (const message of reader.push(chunk)) {
          const value = decodeMsgpack(message, MAX_REPORT_VALUES);
          return settle(() => resolve(value));
        }
      } catch (thrown) {
        settle(() => reject(CocosError.from(thrown, 'FRAME_INVALID')));
      }
    };
    stream.on('data', onData).on('error', onEnd).on('close', onEnd);
  });
}

/** Requests a report over a fresh connection to the host's report port. @throws CocosError EVIDENCE_UNAVAILABLE, LINK_LOST */
export async function requestReport(stream: Duplex, reportData: Uint8Array | null) {
  const answer = await ask(stream, { reportData });
  if (!('report' in answer))
    throw new CocosError('EVIDENCE_UNAVAILABLE', 'The host answered without a report.');
  return answer;
}

/** The secret of the emulated platform for this guest. @throws CocosError EVIDENCE_UNAVAILABLE, LINK_LOST */
export async function requestDerivedKey(stream: Duplex): Promise<Uint8Array> {
  const answer = await ask(stream, { derivedKey: true });
  if (!('derivedKey' in answer))
    throw new CocosError('EVIDENCE_UNAVAILABLE', 'The host answered without a key.');
  // A copy: decoded bytes may share the message's memory, and the caller clears the key.
  return Uint8Array.from(answer.derivedKey);
}

async function ask(stream: Duplex, request: ReportRequest) {
  try {
    writeMessage(stream, request);
    const answer = ReportAnswer.safeParse(await readMessage(stream));
    if (!answer.success) throw new CocosError('EVIDENCE_UNAVAILABLE', 'The host sent a malformed answer.');
    if (!answer.data.ok) {
      const { code, message } = answer.data.error;
      throw new CocosError('EVIDENCE_UNAVAILABLE', `The host refused the request: ${code}: ${message}`);
    }
    return answer.data;
  } finally {
    stream.destroy();
  }
}
