import { Metadata, type ServiceError, type StatusObject, status } from '@grpc/grpc-js';
import { CocosError, ERRORS, type ErrorCode } from '../errors.ts';
import { Cause } from '../machines/common.ts';

/** Trailing metadata with the complete error, as UTF-8 JSON. */
const ERROR_KEY = 'cocos-error-bin';

/** The status of a failed gRPC call. The cause of an internal error is not sent. */
export function toStatus(thrown: unknown): Partial<StatusObject> & { code: number; details: string } {
  const error = CocosError.from(thrown);
  const metadata = new Metadata();
  metadata.set(ERROR_KEY, Buffer.from(JSON.stringify(error.toJSON()), 'utf8'));
  return { code: ERRORS[error.code].grpc, details: `${error.code}: ${error.message}`, metadata };
}

/**
 * The error of a gRPC client's call. If the peer sent an error in our format, it is that error. Other failures become
 * `unavailable` if the peer could not be reached.
 */
export function fromStatus(error: ServiceError, unavailable: ErrorCode): CocosError {
  const [carried] = error.metadata?.get(ERROR_KEY) ?? [];
  if (Buffer.isBuffer(carried)) {
    const cause = parseCause(carried);
    if (cause !== null) return CocosError.fromJson(cause);
  }
  switch (error.code) {
    case status.UNAVAILABLE:
      return new CocosError(
        unavailable,
        'The peer cannot be reached; check that it runs, its address, and the TLS certificates.',
        { cause: error },
      );
    case status.DEADLINE_EXCEEDED:
      return new CocosError('DEADLINE_EXCEEDED', 'The peer did not answer in time; try again.', {
        cause: error,
      });
    case status.CANCELLED:
      return new CocosError('CANCELLED', 'The call was cancelled.', { cause: error });
    case status.RESOURCE_EXHAUSTED:
      return new CocosError('LIMIT_EXCEEDED', 'The message exceeds a limit of the peer.', { cause: error });
    default:
      return new CocosError('INTERNAL', 'The peer failed unexpectedly; see its log.', { cause: error });
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
