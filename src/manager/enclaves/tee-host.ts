import type { TeePlatform } from '../../machines/enclave.events.ts';
import type { ManagerConfig } from '../config.ts';
import { detectEmulated } from '../guests/platforms/emulated/detect.ts';
import type { PlatformReport } from '../guests/platforms/finding.ts';
import { type HostFacts, readHostFacts } from '../guests/platforms/host-facts.ts';
import { choosePlatform, detectPlatforms } from '../guests/platforms/platforms.ts';

/** What was found on the host, and what follows for each platform. */
interface Survey {
  readonly facts: HostFacts;
  readonly reports: readonly PlatformReport[];
}

type TeeSettings = Pick<ManagerConfig, 'hostRoot' | 'eosDir' | 'mode'>;

/** The platforms of this host. It is looked at when the manager starts, and again when an operator asks. */
export class TeeHost {
  private readonly settings: TeeSettings;
  private latest: Promise<Survey> | null = null;

  constructor(settings: TeeSettings) {
    this.settings = settings;
  }

  survey(): Promise<Survey> {
    return this.latest ?? this.probe();
  }

  /** Looks at the host again. One look that fails is not kept: the next call tries again. */
  probe(): Promise<Survey> {
    const looked = this.look();
    this.latest = looked;
    looked.catch(() => {
      if (this.latest === looked) this.latest = null;
    });
    return looked;
  }

  /**
   * The platform of a new enclave.
   *
   * @throws CocosError HOST_TEE_UNAVAILABLE
   */
  async choose(requested: TeePlatform | 'auto'): Promise<PlatformReport> {
    const { mode } = this.settings;
    // Needs no look at the host.
    if (mode === 'process' && (requested === 'auto' || requested === 'emulated')) return detectEmulated();
    return choosePlatform(requested, (await this.survey()).reports);
  }

  private async look(): Promise<Survey> {
    const { hostRoot, eosDir, mode } = this.settings;
    const facts = await readHostFacts({ root: hostRoot, imageFolder: eosDir });
    const reports = detectPlatforms(facts);
    // A process has no memory that hardware protects from its host.
    return { facts, reports: mode === 'vm' ? reports : reports.map(withoutGuests) };
  }
}

function withoutGuests(report: PlatformReport): PlatformReport {
  if (report.platform === 'emulated') return report;
  const finding = {
    need: 'virtual machines',
    isMet: false,
    found: 'this manager starts processes (COCOSAI_MODE=process)',
    remedy: 'Set COCOSAI_MODE=vm.',
  };
  return { ...report, isAvailable: false, findings: [finding, ...report.findings] };
}
