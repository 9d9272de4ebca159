import { Metadata, type ServiceError, type StatusObject, status } from '@grpc/grpc-js';
import { CocosError, ERRORS, type ErrorCode } from '../errors.ts';
import { Cause } from '../machines/common.ts';

/** Trailing metadata that carries the error in full, as UTF-8 JSON. */
const ERROR_KEY = 'cocos-error-bin';

/** The status that a gRPC handler answers with. The cause of an internal error stays here. */
export function toStatus(thrown: unknown): Partial<StatusObject> & { code: number; details: string } {
  const error = CocosError.from(thrown);
  const metadata = new Metadata();
  metadata.set(ERROR_KEY, Buffer.from(JSON.stringify(error.toJSON()), 'utf8'));
  return { code: ERRORS[error.code].grpc, details: `${error.code}: ${error.message}`, metadata };
}

/**
 * The error that a gRPC client got. A peer that spoke our error form is believed about its own error; other
 * failures become `unavailable` when the peer could not be reached.
 */
export function fromStatus(error: ServiceError, unavailable: ErrorCode): CocosError {
  const [carried] = error.metadata?.get(ERROR_KEY) ?? [];
  if (Buffer.isBuffer(carried)) {
    const cause = parseCause(carried);
    if (cause !== null) return CocosError.fromJson(cause);
  }
  switch (error.code) {
    case status.UNAVAILABLE:
      return new CocosError(unavailable, `No answer: ${error.details}.`, { cause: error });
    case status.DEADLINE_EXCEEDED:
      return new CocosError('DEADLINE_EXCEEDED', 'No answer in time.', { cause: error });
    case status.CANCELLED:
      return new CocosError('CANCELLED', 'The call was cancelled.', { cause: error });
    case status.RESOURCE_EXHAUSTED:
      return new CocosError('LIMIT_EXCEEDED', error.details, { cause: error });
    default:
      return new CocosError('INTERNAL', `The peer failed: ${error.details}`, { cause: error });
  }
}

function parseCause(bytes: Buffer): Cause | null {
  try {
    const parsed = Cause.safeParse(JSON.parse(bytes.toString('utf8')));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}
