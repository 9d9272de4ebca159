import { randomBytes, randomUUID } from 'node:crypto';
import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Claims } from '../attestation/claims.ts';
import { parseCertificateTable } from '../attestation/snp/certificate-table.ts';
import { CocosError } from '../errors.ts';
import { requestDerivedKey, requestReport } from '../link/report-protocol.ts';
import { PORTS, type Transport } from '../link/transport.ts';

export interface Report {
  readonly report: Uint8Array;
  /** DER of the certificates that came with the report. */
  readonly certificates: readonly Uint8Array[];
  /** The host's account of the launch, unchecked. */
  readonly launchLog: unknown;
}

/** Where reports come from: the hardware through the kernel, or the host's emulated security processor. */
export interface ReportProvider {
  readonly platform: Claims['platform'];
  /** @throws CocosError EVIDENCE_UNAVAILABLE */
  report(reportData: Uint8Array): Promise<Report>;
  /** 32 bytes for the first DICE layer; the caller clears them. @throws CocosError EVIDENCE_UNAVAILABLE */
  secret(): Promise<Uint8Array>;
}

const SECRET_BYTES = 32;
const TSM_REPORTS = '/sys/kernel/config/tsm/report';

/** The hardware's provider where the kernel offers one, else the emulated one. */
export async function findReportProvider(transport: Transport): Promise<ReportProvider> {
  return (await hasTsmProvider()) ? snpProvider(transport) : emulatedProvider(transport);
}

function emulatedProvider(transport: Transport): ReportProvider {
  return {
    platform: 'emulated',
    secret: async () => requestDerivedKey(await transport.connect(PORTS.report)),
    report: async (reportData) => {
      const answer = await requestReport(await transport.connect(PORTS.report), reportData);
      if (answer.report === null) throw new CocosError('EVIDENCE_UNAVAILABLE', 'The host gave no report.');
      return { report: answer.report, certificates: answer.certificates, launchLog: answer.launchLog };
    },
  };
}

/** SEV-SNP through configfs-tsm (Linux Documentation/ABI/testing/configfs-tsm-report). */
function snpProvider(transport: Transport): ReportProvider {
  return {
    platform: 'snp',
    // The kernel offers derived keys by an ioctl alone, which this runtime cannot make. A random secret is as
    // good for the chain of one boot: the report binds the leaf.
    secret: async () => new Uint8Array(randomBytes(SECRET_BYTES)),
    report: async (reportData) => {
      const { report, certificates } = await readTsmReport(reportData);
      const { launchLog } = await requestReport(await transport.connect(PORTS.report), null);
      return { report, certificates, launchLog };
    },
  };
}

/** Making an entry fails with ENXIO where no provider is loaded. */
async function hasTsmProvider(): Promise<boolean> {
  const entry = path.join(TSM_REPORTS, `probe-${randomUUID()}`);
  try {
    await mkdir(entry);
  } catch {
    return false;
  }
  const provider = (await readFile(path.join(entry, 'provider'), 'utf8')).trim();
  await rmdir(entry);
  return provider === 'sev_guest';
}

async function readTsmReport(reportData: Uint8Array) {
  const entry = path.join(TSM_REPORTS, `cocos-${randomUUID()}`);
  try {
    await mkdir(entry);
    const generation = async () => Number((await readFile(path.join(entry, 'generation'), 'utf8')).trim());
    const before = await generation();
    await writeFile(path.join(entry, 'inblob'), reportData);
    const report = await readFile(path.join(entry, 'outblob'));
    const auxiliary = await readFile(path.join(entry, 'auxblob'));
    // One write was ours; any other count means that somebody else changed the input of this report.
    if ((await generation()) !== before + 1) throw new Error('another writer changed the report request');
    return { report: new Uint8Array(report), certificates: parseCertificateTable(auxiliary) };
  } catch (cause) {
    throw new CocosError('EVIDENCE_UNAVAILABLE', 'The platform gave no report.', { cause });
  } finally {
    await rmdir(entry).catch(() => undefined);
  }
}
