import { CocosError } from '../../errors.ts';
import { BULK_STALL_MS, type BulkPreface, encodePreface } from '../../rpc/bulk.ts';
import { BulkReader } from '../../rpc/bulk-reader.ts';
import { BulkWriter } from '../../rpc/bulk-writer.ts';
import type { AgentRoute } from './agent-route.ts';

/** Time limit for the answer to a preface, after which the path is considered to carry HTTP/2 only. */
const ANSWER_LIMIT_MS = 10_000;

/** A bulk stream that the agent has accepted. */
export interface BulkStream {
  readonly reader: BulkReader;
  writer(segmentBytes: number): BulkWriter;
  close(): void;
}

/**
 * Opens a bulk stream through the relay. Null if the path does not carry it, so that the caller can use gRPC.
 *
 * @throws CocosError the agent's refusal
 */
export async function openBulk(
  route: Pick<AgentRoute, 'dial'>,
  preface: BulkPreface,
): Promise<BulkStream | null> {
  const socket = await route.dial();
  socket.on('error', () => socket.destroy());
  const reader = new BulkReader(socket, ANSWER_LIMIT_MS);
  socket.write(encodePreface(preface));
  try {
    await reader.answer();
  } catch (thrown) {
    socket.destroy();
    const error = CocosError.from(thrown);
    if (NOT_CARRIED.has(error.code)) return null;
    throw error;
  }
  reader.stallMs = BULK_STALL_MS;
  return {
    reader,
    writer: (segmentBytes) => new BulkWriter(socket, segmentBytes, BULK_STALL_MS),
    close: () => socket.destroy(),
  };
}

const NOT_CARRIED: ReadonlySet<string> = new Set(['AGENT_UNAVAILABLE', 'DEADLINE_EXCEEDED', 'FRAME_INVALID']);
