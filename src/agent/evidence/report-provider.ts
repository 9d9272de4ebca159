import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Claims } from '../../attestation/evidence/claims.ts';
import type { EvidenceBundle } from '../../attestation/evidence/evidence.ts';
import { parseCertificateTable } from '../../attestation/snp/certificate-table.ts';
import { CocosError } from '../../errors.ts';
import { PORTS, type Transport } from '../../link/transport/transport.ts';
import { requestDerivedKey, requestReport } from '../../link/wire/report-protocol.ts';
import { readTsm, type TsmPlatform, tsmPlatform } from './tsm.ts';

export interface Report {
  /** In the format of the evidence bundle. */
  readonly report: EvidenceBundle['report'];
  /** The host's log of the launch, not verified. */
  readonly launchLog: unknown;
}

/** The source of reports: the hardware through the kernel, or the host's emulated security processor. */
export interface ReportProvider {
  readonly platform: Claims['platform'];
  /** @throws CocosError EVIDENCE_UNAVAILABLE */
  report(reportData: Uint8Array): Promise<Report>;
  /** 32 bytes for the first DICE layer. The caller must clear them. @throws CocosError EVIDENCE_UNAVAILABLE */
  secret(): Promise<Uint8Array>;
}

const SECRET_BYTES = 32;
/** Event log of a TDX guest, if the firmware provides one (ACPI CCEL). */
const EVENT_LOG = '/sys/firmware/acpi/tables/data/CCEL';

/** The hardware's provider if the kernel offers one, otherwise the emulated one. */
export async function findReportProvider(transport: Transport): Promise<ReportProvider> {
  const platform = await tsmPlatform();
  return platform === null ? emulatedProvider(transport) : tsmProvider(platform, transport);
}

function emulatedProvider(transport: Transport): ReportProvider {
  return {
    platform: 'emulated',
    secret: async () => requestDerivedKey(await transport.connect(PORTS.report)),
    report: async (reportData) => {
      const answer = await requestReport(await transport.connect(PORTS.report), reportData);
      if (answer.report === null)
        throw new CocosError('EVIDENCE_UNAVAILABLE', 'The host did not send a report; try again.');
      const { report, certificates, launchLog } = answer;
      return { report: { kind: 'snp', report, certificates: [...certificates] }, launchLog };
    },
  };
}

/** SEV-SNP and TDX through configfs-tsm. */
function tsmProvider(platform: TsmPlatform, transport: Transport): ReportProvider {
  return {
    platform,
    // The kernel offers derived keys through an ioctl only, which Node.js cannot call. A random secret is as good
    // for the chain of one boot, since the report binds the leaf.
    secret: async () => new Uint8Array(randomBytes(SECRET_BYTES)),
    report: async (reportData) => {
      const { report, auxiliary } = await readTsm(reportData);
      if (platform === 'tdx') {
        const eventLog = await readFile(EVENT_LOG).catch(() => undefined);
        const log = eventLog === undefined ? {} : { eventLog: new Uint8Array(eventLog) };
        return { report: { kind: 'tdx', quote: report, ...log }, launchLog: undefined };
      }
      const { launchLog } = await requestReport(await transport.connect(PORTS.report), null);
      const certificates = parseCertificateTable(auxiliary);
      return { report: { kind: 'snp', report, certificates }, launchLog };
    },
  };
}
