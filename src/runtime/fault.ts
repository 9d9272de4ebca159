import { CocosError, EXIT } from '../errors.ts';

/**
 * Ends the process when a promise is rejected that nobody handles, or an exception reaches the event loop: what it
 * holds in memory cannot be trusted any more.
 *
 * @param report writes the cause where people look for it.
 */
export function exitOnFault(report: (error: CocosError, thrown: unknown) => void): void {
  const end = (thrown: unknown) => {
    report(CocosError.from(thrown), thrown);
    process.exit(EXIT.internal);
  };
  process.on('unhandledRejection', end);
  process.on('uncaughtException', end);
}
