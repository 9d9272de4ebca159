/**
 * Ends the process when a promise is rejected that nobody handles, or an exception reaches the event loop: what the
 * process holds in memory cannot be trusted any more.
 *
 * @param report writes the cause where people look for it, and returns the exit code.
 */
export function exitOnFault(report: (thrown: unknown, what: string) => number): void {
  process.on('uncaughtException', (thrown) => process.exit(report(thrown, 'uncaught exception')));
  process.on('unhandledRejection', (thrown) => process.exit(report(thrown, 'unhandled promise rejection')));
}
