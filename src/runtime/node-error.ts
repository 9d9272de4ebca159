import { CocosError, type ErrorCode } from '../errors.ts';

/** Codes for errors of Node.js and the operating system. */
const CODES: Readonly<Record<string, ErrorCode>> = {
  ENOSPC: 'HOST_DISK_FULL',
  EDQUOT: 'HOST_DISK_FULL',
  EADDRINUSE: 'HOST_PORT_TAKEN',
};

/** Any thrown value as a CocosError that keeps it as its cause. */
export function fromNodeError(thrown: unknown): CocosError {
  const errno = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : '';
  return CocosError.from(thrown, CODES[errno] ?? 'INTERNAL');
}
