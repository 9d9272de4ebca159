import { CocosError, type ErrorCode } from '../errors.ts';

/** The one place where errors of node and of the operating system become ours. */
const CODES: Readonly<Record<string, ErrorCode>> = {
  ENOSPC: 'HOST_DISK_FULL',
  EDQUOT: 'HOST_DISK_FULL',
  EADDRINUSE: 'HOST_PORT_TAKEN',
};

/** Any thrown value as a CocosError, with the cause kept. */
export function fromNodeError(thrown: unknown): CocosError {
  const errno = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : '';
  return CocosError.from(thrown, CODES[errno] ?? 'INTERNAL');
}
