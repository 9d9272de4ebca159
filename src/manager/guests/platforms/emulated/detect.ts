import { met, type PlatformReport, reportOf } from '../finding.ts';

/** A guest that nothing protects from the host needs nothing of its hardware. */
export function detectEmulated(): PlatformReport {
  return reportOf('emulated', [met('no hardware', 'nothing protects the guest from this host')], null);
}
